"""Hedging: a late answer is asked for elsewhere too; one reaches the client, and nothing is left of the other."""

from __future__ import annotations

import asyncio

import pytest

from proxy.metrics import U_ACTIVE, U_HEDGES, U_HEDGES_REFUSED, U_HEDGES_WON
from proxy.scoreboard import FAILURES
from proxy.server.proxy import Proxy
from tests.support.client import connect
from tests.support.origin import Origin, Script, close, never, request, reset, response, tell, until, wait
from tests.support.path import GET, made, post, until_true
from tests.support.running import running

OK: Script = [request(), response(b"ok")]
LATE: Script = [request(), never]
PUT = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"


def yaml(*origins: Origin, retry: str = "", more: str = "") -> str:
    """`origins` in turn; who does not answer within 20 ms is not waited for alone."""
    listed = ", ".join(f"'{each.address}'" for each in origins)
    balance = "balance: 'tests.balancing.algorithms:InOrder'"
    retries = f"retry: {{hedge: {{delay: 20ms}}, {retry}}}"
    return f"upstreams: {{app: {{backends: [{listed}], {balance}, {retries}, {more}}}}}\nroutes: [{{upstream: app}}]\n"


def cell(proxy: Proxy, which: int) -> int:
    return int(proxy.plan.groups["app"].rows[which])


async def idle_again(proxy: Proxy) -> None:
    group = proxy.plan.groups["app"]
    await until_true(lambda: proxy.counters.in_flight == 0)
    assert [backend.in_flight for backend in group.members.all] == [0] * len(group.members.all)
    assert group.rows[U_ACTIVE] == 0
    for backend in group.members.all:
        assert not backend.pool.waiting
    pools = [backend.pool for backend in group.members.all]
    await until_true(lambda: all(pool.size == len(pool.idle) for pool in pools))


@pytest.mark.parametrize("data", [GET, PUT, HEAD], ids=["GET", "PUT", "HEAD"])
async def test_a_late_answer_is_asked_for_elsewhere(data: bytes) -> None:
    async with Origin(LATE) as late, Origin(OK) as well:
        async with running(yaml(late, well)) as proxy, connect(proxy.address) as client:
            got = await client.request(data, data.split()[0])
            assert (got.status, got.body) == (200, b"" if data is HEAD else b"ok")
            assert [len(each.requests) for each in (late, well)] == [1, 1]
            assert well.requests[0].body == data.partition(b"\r\n\r\n")[2]
            assert (cell(proxy.proxy, U_HEDGES), cell(proxy.proxy, U_HEDGES_WON)) == (1, 1)
            first, second = proxy.proxy.plan.groups["app"].members.all
            assert (first.failures, second.failures) == (0, 0)  # late is not wrong
            await idle_again(proxy.proxy)


async def test_the_first_may_still_win() -> None:
    asked, answering = asyncio.Event(), asyncio.Event()
    async with (
        Origin([request(), wait(answering), response(b"first")]) as first,
        Origin([request(), tell(asked), never]) as second,
    ):
        async with running(yaml(first, second)) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            await asked.wait()
            answering.set()
            assert (await client.response(b"GET")).body == b"first"
            assert (cell(proxy.proxy, U_HEDGES), cell(proxy.proxy, U_HEDGES_WON)) == (1, 0)
            await idle_again(proxy.proxy)


async def test_an_answer_in_time_is_not_hedged() -> None:
    async with Origin(OK, forever=True) as first, Origin(OK, forever=True) as second:
        async with running(yaml(first, second)) as proxy, connect(proxy.address) as client:
            for _ in range(20):
                assert (await client.request(GET)).body == b"ok"
            hedger = proxy.proxy.plan.groups["app"].hedger
            assert hedger is not None
            await until_true(lambda: hedger.timer is None)
            assert cell(proxy.proxy, U_HEDGES) == 0


@pytest.mark.parametrize(
    "data",
    [post(b"hi"), b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["POST", "HTTP/1.0", "half of a body"],
)
async def test_what_may_not_be_sent_twice_is_not_hedged(data: bytes) -> None:
    async with Origin([until(b"\r\n\r\n"), never], forever=False) as late, Origin(OK) as well:
        text = yaml(late, well, retry="attempts: 0") + "timeouts: {response_head: 200ms, body_idle: 200ms}\n"
        async with running(text) as proxy, connect(proxy.address) as client:
            assert (await client.request(data, data.split()[0])).status in (504, 408)
            assert cell(proxy.proxy, U_HEDGES) == 0
            assert not well.requests


async def test_a_first_that_fails_leaves_it_to_the_second() -> None:
    asked, failing, answering = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with (
        Origin([request(), wait(failing), reset]) as first,
        Origin([request(), tell(asked), wait(answering), response(b"second")]) as second,
    ):
        async with running(yaml(first, second)) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            await asked.wait()
            failing.set()
            bad = proxy.proxy.plan.groups["app"].members.all[0]
            await until_true(lambda: bad.rows[bad.own + FAILURES] == 1)
            answering.set()
            assert (await client.response(b"GET")).body == b"second"
            assert len(second.requests) == 1
            await idle_again(proxy.proxy)


async def test_a_second_that_fails_leaves_it_to_the_first() -> None:
    answering = asyncio.Event()
    async with Origin([request(), wait(answering), response(b"first")]) as first, Origin([request(), close]) as second:
        async with running(yaml(first, second)) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            bad = proxy.proxy.plan.groups["app"].members.all[1]
            await until_true(lambda: bad.rows[bad.own + FAILURES] == 1)
            answering.set()
            assert (await client.response(b"GET")).body == b"first"
            await idle_again(proxy.proxy)


async def test_a_second_that_cannot_connect_leaves_it_to_the_first() -> None:
    async with Origin() as gone:
        refusing = gone.address
    answering = asyncio.Event()
    async with Origin([request(), wait(answering), response(b"first")]) as first:
        text = yaml(first).replace("]", f", '{refusing}']", 1)
        async with running(text) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            bad = proxy.proxy.plan.groups["app"].members.all[1]
            await until_true(lambda: bad.rows[bad.own + FAILURES] == 1)
            answering.set()
            assert (await client.response(b"GET")).body == b"first"
            await idle_again(proxy.proxy)


async def test_when_both_fail_the_request_is_tried_on_a_third() -> None:
    asked, failing = asyncio.Event(), asyncio.Event()
    async with (
        Origin([request(), wait(failing), reset]) as first,
        Origin([request(), tell(asked), wait(failing), reset]) as second,
        Origin(OK) as third,
    ):
        async with running(yaml(first, second, third)) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            await asked.wait()
            failing.set()
            assert (await client.response(b"GET")).body == b"ok"
            await idle_again(proxy.proxy)


async def test_a_status_that_is_tried_again_waits_for_the_other() -> None:
    answering = asyncio.Event()
    busy: Script = [request(), response(b"busy", b"503 Service Unavailable")]
    async with Origin([request(), wait(answering), response(b"first")]) as first, Origin(busy) as second:
        async with running(yaml(first, second, retry="on: [503]")) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            await until_true(lambda: second.requests)
            answering.set()
            assert (await client.response(b"GET")).body == b"first"
            await idle_again(proxy.proxy)


async def test_a_client_that_leaves_ends_both() -> None:
    asked = asyncio.Event()
    async with Origin(LATE) as first, Origin([request(), tell(asked), never]) as second:
        async with running(yaml(first, second) + "timeouts: {half_close: 20ms}\n") as proxy:
            async with connect(proxy.address) as client:
                await client.send(GET)
                await asked.wait()
                client.reset()
            await idle_again(proxy.proxy)


async def test_a_request_that_runs_out_of_time_ends_both() -> None:
    async with Origin(LATE) as first, Origin(LATE) as second:
        text = yaml(first, second, retry="attempts: 0") + "timeouts: {request: 300ms}\n"
        async with running(text) as proxy, connect(proxy.address) as client:
            assert made(await client.request(GET)) == (504, "relay.request_timeout")
            assert [len(each.requests) for each in (first, second)] == [1, 1]
            await idle_again(proxy.proxy)


async def test_the_budget_bounds_it() -> None:
    async with Origin(LATE) as first, Origin(OK) as second:
        text = yaml(first, second, retry="attempts: 0, budget: 0%") + "timeouts: {response_head: 300ms}\n"
        async with running(text) as proxy, connect(proxy.address) as client:
            proxy.proxy.plan.groups["app"].retry_budget.tokens = 0.5
            assert (await client.request(GET)).status == 504
            assert (cell(proxy.proxy, U_HEDGES), cell(proxy.proxy, U_HEDGES_REFUSED)) == (0, 1)


async def test_a_large_answer_of_the_second_comes_whole() -> None:
    body = bytes(range(256)) * 8192
    size = len(body) // 4
    chunks = b"".join(b"%x\r\n%b\r\n" % (size, body[at : at + size]) for at in range(0, len(body), size))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with Origin(LATE) as first, Origin([request(), head + chunks + b"0\r\n\r\n"]) as second:
        async with running(yaml(first, second)) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == body
