"""What is sent again and what never is; backends that fail are left alone; room and queue."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from proxy.metrics import U_RETRIES, U_RETRIES_REFUSED
from proxy.scoreboard import CONNECT_FAILURES, RETRIES
from proxy.server.proxy import Proxy
from tests.support.client import RawClient, connect
from tests.support.origin import Origin, Script, close, never, request, reset, response, tell, until, wait
from tests.support.path import GET, made, post, until_counted, until_true
from tests.support.running import running

OK: Script = [request(), response(b"ok")]
FAILED = [request(), response(b"busy", b"503 Service Unavailable")]
PUT = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"


def yaml(*origins: Origin | str, upstream: str = "", more: str = "") -> str:
    """`origins` in turn, as round robin takes them."""
    listed = ", ".join(f"'{each if isinstance(each, str) else each.address}'" for each in origins)
    balance = "balance: 'tests.balancing.algorithms:InOrder'"
    return f"upstreams: {{app: {{backends: [{listed}], {balance}, {upstream}}}}}\nroutes: [{{upstream: app}}]\n{more}\n"


async def gone() -> str:
    """An address that refuses."""
    async with Origin() as origin:
        return origin.address


def tried(proxy: Proxy) -> list[int]:
    return [backend.requests for backend in proxy.plan.groups["app"].members.all]


async def idle_again(proxy: Proxy) -> None:
    group = proxy.plan.groups["app"]
    await until_true(lambda: proxy.counters.in_flight == 0)
    assert [backend.in_flight for backend in group.members.all] == [0] * len(group.members.all)
    assert group.queue.length == 0


# --- what is sent again -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [GET, post(b"hi")], ids=["GET", "POST"])
async def test_a_failed_connect_goes_elsewhere_whatever_the_method(data: bytes) -> None:
    """Nothing was sent, so nothing can happen twice; and the backend gets no further request for now."""
    refusing = await gone()
    async with Origin(OK, forever=True) as origin, running(yaml(refusing, origin)) as proxy:
        async with connect(proxy.address) as client:
            for _ in range(3):
                assert (await client.request(data, data[:4].strip())).body == b"ok"
        bad, good = proxy.proxy.plan.groups["app"].members.all
        assert bad.rows[bad.own + CONNECT_FAILURES] == 1
        assert tried(proxy.proxy) == [1, 3]
        assert proxy.proxy.plan.groups["app"].usable == [good]
        await idle_again(proxy.proxy)


@pytest.mark.parametrize("end", [close, reset], ids=["closed", "reset"])
@pytest.mark.parametrize("data", [GET, PUT], ids=["GET", "PUT"])
async def test_an_idempotent_request_without_a_response_goes_elsewhere(data: bytes, end: object) -> None:
    async with Origin([until(b"\r\n\r\n"), end]) as bad, Origin(OK) as good:  # type: ignore[list-item]
        async with running(yaml(bad, good)) as proxy, connect(proxy.address) as client:
            assert (await client.request(data, data[:3])).body == b"ok"
            assert good.requests[0].body == data.partition(b"\r\n\r\n")[2]
            await idle_again(proxy.proxy)


async def test_a_post_that_was_sent_is_not_sent_again() -> None:
    async with Origin([until(b"hi"), reset]) as bad, Origin(OK) as good:
        async with running(yaml(bad, good)) as proxy, connect(proxy.address) as client:
            assert made(await client.request(post(b"hi"), b"POST")) == (502, "send.reset")
        assert good.requests == []


async def test_a_post_is_sent_again_if_the_configuration_says_so() -> None:
    async with Origin([until(b"hi"), reset]) as bad, Origin(OK) as good:
        text = yaml(bad, good, upstream="retry: {non_idempotent: true}")
        async with running(text) as proxy, connect(proxy.address) as client:
            assert (await client.request(post(b"hi"), b"POST")).body == b"ok"


async def test_nothing_is_sent_again_once_the_response_has_begun() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"
    async with Origin([request(), begun, reset]) as bad, Origin(OK) as good:
        async with running(yaml(bad, good)) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            assert (await client.read_until(b"some")).startswith(b"HTTP/1.1 200")
            await until_counted(proxy.proxy, "relay.incomplete")
            await idle_again(proxy.proxy)
        assert good.requests == []


async def test_a_time_out_goes_elsewhere() -> None:
    async with Origin([request(), never]) as bad, Origin(OK) as good:
        text = yaml(bad, good, upstream="retry: {per_try: 500ms}")
        async with running(text) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == b"ok"


async def test_statuses_are_passed_on_unless_they_are_named() -> None:
    async with Origin(FAILED) as bad, Origin(OK) as good:
        async with running(yaml(bad, good)) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).status == 503
            assert good.requests == []


@pytest.mark.parametrize("script", [FAILED, [request(), b"HTTP/1.1 503 Busy\r\nContent-Length: 99\r\n\r\nx", never]])
async def test_a_named_status_is_tried_elsewhere(script: Script) -> None:
    """Whether the response is complete or not: its connection is not used with its rest in it."""
    async with Origin(script, script) as bad, Origin(OK, forever=True) as good:
        text = yaml(bad, good, upstream="retry: {on: [503]}")
        async with running(text) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == b"ok"
            await idle_again(proxy.proxy)


@pytest.mark.parametrize(("after", "status"), [(b"0", 200), (b"nonsense", 200), (b"301", 503), (b"40", 503)])
async def test_retry_after_is_honoured(after: bytes, status: int) -> None:
    """Too long, or longer than what is left of the deadline: the response is passed on."""
    busy = response(b"", b"503 Busy", [b"Retry-After: " + after])
    async with Origin([request(), busy]) as bad, Origin(OK) as good:
        text = yaml(bad, good, upstream="retry: {on: [503]}")
        async with running(text) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).status == status


async def test_each_backend_is_tried_once_and_attempts_are_bounded() -> None:
    async with AsyncExitStack() as stack:
        bad = [await stack.enter_async_context(Origin([until(b"\r\n\r\n"), reset])) for _ in range(4)]
        proxy = await stack.enter_async_context(running(yaml(*bad)))
        client = await stack.enter_async_context(connect(proxy.address))
        assert made(await client.request(GET)) == (502, "send.reset")
        assert tried(proxy.proxy) == [1, 1, 1, 0]
        assert [each.rows[each.own + RETRIES] for each in proxy.proxy.plan.groups["app"].members.all] == [0, 1, 1, 0]
        await idle_again(proxy.proxy)


async def test_the_only_backend_is_not_tried_again() -> None:
    async with (
        Origin([until(b"\r\n\r\n"), reset]) as bad,
        running(yaml(bad)) as proxy,
        connect(proxy.address) as client,
    ):
        assert made(await client.request(GET)) == (502, "send.reset")
        assert tried(proxy.proxy) == [1]


async def test_retries_have_a_budget() -> None:
    """When everything fails only a few requests are tried again, so that retries do not add to an outage."""
    async with Origin([until(b"\r\n\r\n"), reset]) as bad, Origin([until(b"\r\n\r\n"), reset]) as other:
        upstream = "outlier: null, retry: {attempts: 1, budget: 0%, budget_min: 1, backoff: 1ms}"
        async with running(yaml(bad, other, upstream=upstream)) as proxy, connect(proxy.address) as client:
            group = proxy.proxy.plan.groups["app"]
            group.retry_budget.tokens = 3.5
            for _ in range(10):
                assert made(await client.request(GET)) == (502, "send.reset")
            assert 3 <= group.rows[U_RETRIES] <= 5  # what was there, and what a second or two pay in
            assert group.rows[U_RETRIES] + group.rows[U_RETRIES_REFUSED] == 10


async def test_one_of_three_backends_that_dies_takes_no_request_with_it() -> None:
    """All that it had in flight fails at once, more than a fifth of all requests."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        script = [request(), tell(arrived), wait(go_on), reset]
        dying = await stack.enter_async_context(Origin(script))
        good = [await stack.enter_async_context(Origin(OK, forever=True)) for _ in range(2)]
        proxy = await stack.enter_async_context(running(yaml(dying, *good)))
        clients = [await stack.enter_async_context(connect(proxy.address)) for _ in range(20)]
        for client in clients:
            await client.send(GET)
        await until_true(lambda: len(dying.requests) == 20)
        go_on.set()
        assert [(await client.response()).body for client in clients] == [b"ok"] * 20
        await idle_again(proxy.proxy)


async def test_a_client_that_leaves_during_the_pause_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.upstream.retry.random", lambda: 1.0)  # jitter may leave next to no pause
    async with Origin([until(b"\r\n\r\n"), reset]) as bad, Origin(OK) as good:
        text = yaml(bad, good, upstream="retry: {backoff: 10s, backoff_max: 10s}")
        async with running(text) as proxy:
            async with connect(proxy.address) as client:
                await client.send(GET)
                await until_true(lambda: proxy.proxy.plan.groups["app"].rows[U_RETRIES] == 1)
            await idle_again(proxy.proxy)
        assert good.requests == []


# --- ejection -----------------------------------------------------------------------------------------


async def test_a_backend_that_fails_is_ejected_and_the_others_are_unaffected() -> None:
    async with Origin(FAILED, forever=True) as bad, Origin(OK, forever=True) as good:
        text = yaml(bad, good, upstream="outlier: {consecutive_gateway: 3}")
        async with running(text) as proxy, connect(proxy.address) as client:
            statuses = [(await client.request(GET)).status for _ in range(10)]
            assert statuses == [503] * 3 + [200] * 7


async def test_a_success_in_between_starts_the_count_anew() -> None:
    mixed = [*FAILED, *FAILED, *OK]
    async with Origin(mixed, forever=True) as origin, Origin(OK, forever=True) as other:
        text = yaml(origin, other, upstream="outlier: {consecutive_gateway: 3, consecutive_5xx: 3}")
        async with running(text) as proxy, connect(proxy.address) as client:
            statuses = [(await client.request(GET)).status for _ in range(9)]
            assert statuses == [503, 503, 200] * 3


# --- room and queue -----------------------------------------------------------------------------------


async def test_requests_wait_for_room_and_go_on_in_order() -> None:
    go_on = asyncio.Event()
    script = [request(), wait(go_on), response(b"ok")]
    async with Origin(script, forever=True) as origin:
        text = yaml(origin, upstream="limits: {requests_per_backend: 1, queue: 2}")
        async with running(text) as proxy, AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(connect(proxy.address)) for _ in range(4)]
            group = proxy.proxy.plan.groups["app"]

            async def queued(wanted: int) -> None:
                await until_true(lambda: group.queue.length == wanted)

            for number, client in enumerate(clients[:3]):
                await client.send(GET)
                await queued(number)
            assert made(await clients[3].request(GET)) == (503, "pick.queue_full")
            assert group.members.all[0].in_flight == 1
            go_on.set()
            assert [(await client.response()).body for client in clients[:3]] == [b"ok"] * 3
            await idle_again(proxy.proxy)


async def test_a_request_does_not_wait_for_ever() -> None:
    arrived = asyncio.Event()
    async with Origin([request(), tell(arrived), never]) as origin:
        text = yaml(origin, upstream="limits: {requests: 1, queue_timeout: 100ms}")
        async with running(text) as proxy, connect(proxy.address) as busy, connect(proxy.address) as client:
            await busy.send(GET)
            await arrived.wait()
            assert made(await client.request(GET)) == (503, "pick.queue_timeout")


async def test_a_client_that_leaves_the_queue_makes_room_in_it() -> None:
    arrived = asyncio.Event()
    async with Origin([request(), tell(arrived), never]) as origin:
        text = yaml(origin, upstream="limits: {requests_per_backend: 1}")
        async with running(text) as proxy, connect(proxy.address) as busy:
            group = proxy.proxy.plan.groups["app"]
            await busy.send(GET)
            await arrived.wait()
            async with connect(proxy.address) as client:
                await client.send(GET)
                await until_true(lambda: group.queue.length == 1)
            await until_true(lambda: group.queue.length == 0)
            assert proxy.proxy.counters.in_flight == 1


async def test_a_full_backend_is_passed_over() -> None:
    arrived = asyncio.Event()
    async with Origin([request(), tell(arrived), never]) as first, Origin(OK, forever=True) as second:
        text = yaml(first, second, upstream="limits: {requests_per_backend: 1}")
        async with running(text) as proxy, connect(proxy.address) as busy, connect(proxy.address) as client:
            await busy.send(GET)
            await arrived.wait()
            for _ in range(3):
                assert (await client.request(GET)).body == b"ok"


# --- reload, in one process ---------------------------------------------------------------------------


async def status_of(client: RawClient) -> int:
    return (await client.request(GET)).status


async def test_a_plan_that_is_adopted_keeps_what_is_known() -> None:
    from proxy.configuration.load import load_text
    from tests.support.plans import linked

    refusing = await gone()
    async with Origin(OK, forever=True) as origin, running(yaml(refusing, origin)) as running_proxy:
        proxy = running_proxy.proxy
        async with connect(running_proxy.address) as client:
            assert await status_of(client) == 200
            before = proxy.plan.groups["app"].members.all
            balancer = proxy.plan.groups["app"].balancer
            text = yaml(origin, refusing, upstream="limits: {requests: 9}") + "via: other\naccess_log: null\n"
            listeners = "listeners: [{bind: '127.0.0.1:0'}]\n"
            await proxy.adopt(linked(load_text(text + listeners).config, registry=proxy.registry))
            after = proxy.plan.groups["app"].members.all
            assert after == (before[1], before[0])
            assert proxy.plan.groups["app"].balancer is balancer
            assert proxy.plan.groups["app"].usable == [before[1]]  # the ejection outlives the reload
            assert await status_of(client) == 200  # on the connection of before
            assert proxy.plan.groups["app"].overload.max_requests == 9
            assert tried(proxy)[0] == 2
