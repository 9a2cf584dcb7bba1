"""Who is let in: rate limits, circuit breaker, adaptive limit, load shedding, priorities."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from proxy.limits.shedding import NORMAL
from proxy.metrics import L_REFUSED, L_TAKEN, L_WOULD_REFUSE, U_ACTIVE, U_BREAKER_REFUSED
from proxy.server.proxy import Proxy
from tests.support.client import connect
from tests.support.origin import Origin, Script, never, request, reset, response, tell, wait
from tests.support.path import GET, made, path, post, until_true
from tests.support.running import Running, running

OK: Script = [request(), response(b"ok")]
FAILED: Script = [request(), response(b"oh", b"500 Internal Server Error")]
ONE = "rate_limits: {one: {rate: 1/h, %s}}"


def get(path: bytes = b"/", *lines: bytes) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (path, b"".join(b"%b\r\n" % line for line in lines))


def limit_row(proxy: Proxy, name: str = "one") -> list[int]:
    return list(proxy.board.limit_row(name)[:4])


# --- rate limits --------------------------------------------------------------------------------------


async def test_who_comes_too_early_gets_429_and_is_told_when_to_come() -> None:
    async with path(OK, forever=True, route="rate_limits: [one]", more="rate_limits: {one: {rate: 2/h}}") as way:
        for _ in range(2):
            assert (await way.client.request(GET)).body == b"ok"
        refused = await way.client.request(GET)
        assert made(refused) == (429, "admit.rate_limited")
        assert refused.all(b"retry-after") == [b"1800"]
        assert refused.header(b"ratelimit-policy") == b'"one";q=2;w=3600'
        assert refused.header(b"ratelimit") == b'"one";r=0;t=1800'
        assert len(way.origin.requests) == 2
        row = limit_row(way.proxy)
        assert (row[L_TAKEN], row[L_REFUSED]) == (2, 1)
        assert (await way.client.request(GET)).status == 429  # the connection goes on


async def test_a_body_that_is_refused_does_not_become_the_next_request() -> None:
    async with path(OK, forever=True, route="rate_limits: [one]", more=ONE % "") as way:
        await way.client.request(GET)
        assert made(await way.client.request(post(b"x" * 100), b"POST")) == (429, "admit.rate_limited")
        assert (await way.client.request(GET)).status == 429


@pytest.mark.parametrize(
    ("key", "first", "second"),
    [
        ("['header:X-Key']", get(b"/", b"X-Key: a"), get(b"/", b"X-Key: b")),
        ("['cookie:id']", get(b"/", b"Cookie: id=a"), get(b"/", b"Cookie: id=b")),
        ("['query:id']", get(b"/?id=a"), get(b"/?id=b")),
        ("['path:user']", get(b"/users/a"), get(b"/users/b")),
        ("['header:A', 'header:B']", get(b"/", b"A: ab", b"B: c"), get(b"/", b"A: a", b"B: bc")),
    ],
)
async def test_each_key_has_a_limit_of_its_own(key: str, first: bytes, second: bytes) -> None:
    route = "rate_limits: [one]" + (", regex: '^/users/(?P<user>[a-z]+)'" if "path:" in key else "")
    async with path(OK, forever=True, route=route, more=ONE % f"key: {key}") as way:
        for data in (first, second):
            assert [(await way.client.request(data)).status for _ in range(2)] == [200, 429]


async def test_a_request_without_the_key_is_not_limited() -> None:
    async with path(OK, forever=True, route="rate_limits: [one]", more=ONE % "key: ['header:X-Key']") as way:
        assert [(await way.client.request(GET)).status for _ in range(5)] == [200] * 5
        assert limit_row(way.proxy)[L_TAKEN] == 0


async def test_without_a_key_all_are_counted_together() -> None:
    async with path(OK, forever=True, route="rate_limits: [one]", more=ONE % "key: []") as way:
        assert [(await way.client.request(data)).status for data in (get(), get(b"/x"))] == [200, 429]


async def test_clients_behind_a_trusted_proxy_are_told_apart_and_others_cannot_pretend() -> None:
    more = ONE % "" + "\ntrusted_proxies: [127.0.0.0/8]"
    async with path(OK, forever=True, route="rate_limits: [one]", more=more) as way:
        for client in (b"192.0.2.1", b"192.0.2.2"):
            data = get(b"/", b"X-Forwarded-For: " + client)
            assert [(await way.client.request(data)).status for _ in range(2)] == [200, 429]
    async with path(OK, forever=True, route="rate_limits: [one]", more=ONE % "") as way:
        found = [(await way.client.request(get(b"/", b"X-Forwarded-For: 192.0.2.%d" % n))).status for n in range(3)]
        assert found == [200, 429, 429]


async def test_addresses_of_one_ipv6_network_are_one_client() -> None:
    more = ONE % "" + "\ntrusted_proxies: [127.0.0.0/8]"
    async with path(OK, forever=True, route="rate_limits: [one]", more=more) as way:
        clients = (b"2001:db8::1", b"2001:db8::ffff:2", b"2001:db8:0:1::1")
        found = [(await way.client.request(get(b"/", b"X-Forwarded-For: " + each))).status for each in clients]
        assert found == [200, 429, 200]


async def test_a_dry_run_refuses_nobody_and_counts() -> None:
    async with path(OK, forever=True, route="rate_limits: [one]", more=ONE % "dry_run: true") as way:
        assert [(await way.client.request(GET)).status for _ in range(3)] == [200] * 3
        assert limit_row(way.proxy)[L_WOULD_REFUSE] == 2


async def test_several_limits_must_all_have_room() -> None:
    more = "rate_limits: {one: {rate: 2/h, key: ['header:A']}, all: {rate: 3/h, key: []}}"
    async with path(OK, forever=True, route="rate_limits: [one, all]", more=more) as way:
        a, b = get(b"/", b"A: a"), get(b"/", b"A: b")
        found = [await way.client.request(data) for data in (a, a, a, b, b)]
        assert [each.status for each in found] == [200, 200, 429, 200, 429]
        assert found[2].header(b"ratelimit-policy") == b'"one";q=2;w=3600'
        assert found[4].header(b"ratelimit-policy") == b'"all";q=3;w=3600'


async def test_fixed_responses_and_redirects_can_be_limited_too() -> None:
    yaml = (
        "rate_limits: {one: {rate: 1/h}}\n"
        "routes: [{path: /a, respond: {body: hi}, rate_limits: [one]},"
        "{path: /b, redirect: {to: /c}, rate_limits: [one]}]"
    )
    async with running(yaml) as proxy, connect(proxy.address) as client:
        assert [(await client.request(get(target))).status for target in (b"/a", b"/b")] == [200, 429]


# --- the circuit breaker ------------------------------------------------------------------------------

BREAKER = "breaker: {requests: 3, open: 1h, open_max: 1h, trials: 1}, outlier: null"


async def test_an_open_breaker_answers_at_once_and_says_when_to_come() -> None:
    async with path(FAILED, forever=True, upstream=BREAKER) as way:
        for _ in range(3):
            assert (await way.client.request(GET)).status == 500
        refused = await way.client.request(GET)
        assert made(refused) == (503, "admit.breaker_open")
        assert 3590 <= int(refused.header(b"retry-after") or b"") <= 3601
        assert len(way.origin.requests) == 3
        group = way.proxy.plan.groups["app"]
        assert group.rows[U_BREAKER_REFUSED] == 1


async def test_a_breaker_closes_after_a_trial_that_succeeds() -> None:
    async with path([*FAILED, *FAILED, *FAILED, *OK], upstream=BREAKER) as way:
        for _ in range(3):
            await way.client.request(GET)
        group = way.proxy.plan.groups["app"]
        assert (await way.client.request(GET)).status == 503
        assert group.overload.breaker is not None
        group.overload.breaker.until = 0.0  # its hour is over
        assert (await way.client.request(GET)).body == b"ok"
        assert not group.overload.breaker.opened


async def test_backends_that_do_not_answer_open_it_too() -> None:
    upstream = BREAKER + ", retry: {attempts: 0}"
    async with path([request(), reset], forever=True, upstream=upstream) as way:
        found = [made(await way.client.request(GET)) for _ in range(4)]
        assert found == [(502, "send.reset")] * 3 + [(503, "admit.breaker_open")]


async def test_clients_that_leave_do_not_open_it() -> None:
    reached, letting_go = asyncio.Event(), asyncio.Event()
    script: Script = [request(), tell(reached), wait(letting_go)]
    async with Origin(script, forever=True) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}'], {BREAKER}}}}}\nroutes: [{{upstream: app}}]"
        async with running(yaml + "\ntimeouts: {half_close: 20ms}") as proxy:
            for _ in range(5):
                reached.clear()
                async with connect(proxy.address) as client:
                    await client.send(GET)
                    await reached.wait()
                await until_true(lambda: proxy.proxy.counters.in_flight == 0)
            group = proxy.proxy.plan.groups["app"]
            assert group.overload.breaker is not None
            assert not group.overload.breaker.opened
        letting_go.set()


# --- the adaptive limit -------------------------------------------------------------------------------


async def test_what_is_beyond_the_adaptive_limit_waits_and_is_served() -> None:
    """The first thing that a new upstream gets is a measurement, with `min` requests at a time."""
    letting_go = asyncio.Event()
    script: Script = [request(), wait(letting_go), response(b"ok")]
    upstream = "concurrency: {min: 2}, limits: {queue_timeout: 30s}"
    async with Origin(script, forever=True) as origin, AsyncExitStack() as stack:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}'], {upstream}}}}}\nroutes: [{{upstream: app}}]"
        proxy = await stack.enter_async_context(running(yaml))
        clients = [await stack.enter_async_context(connect(proxy.address)) for _ in range(5)]
        for client in clients:
            await client.send(GET)
        group = proxy.proxy.plan.groups["app"]
        await until_true(lambda: group.queue.length == 3)
        assert group.members.all[0].in_flight == 2
        letting_go.set()
        assert [(await client.response(b"GET")).body for client in clients] == [b"ok"] * 5
        assert (group.queue.length, group.rows[U_ACTIVE]) == (0, 0)


# --- shedding and priorities --------------------------------------------------------------------------

SHEDDING = "shedding: {}"


async def overloaded(proxy: Running, level: float) -> None:
    """A worker that has far too much to do: its loop is as late as it takes."""
    proxy.proxy.registry.shedder._set(level)


async def test_under_overload_low_priorities_are_refused_and_critical_ones_served() -> None:
    async with Origin(OK, forever=True) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\n{SHEDDING}\nroutes:\n" + "".join(
            f"  - {{path: /{name}, upstream: app, priority: {name}}}\n"
            for name in ("critical", "high", "normal", "low")
        )
        async with running(yaml) as proxy, connect(proxy.address) as client:
            proxy.proxy.registry.shedder.spec = None  # nothing changes while we look
            await overloaded(proxy, 2.0)
            found = {
                name: made(await client.request(get(b"/" + name))) for name in (b"critical", b"high", b"normal", b"low")
            }
            refused = (503, "admit.overloaded")
            assert found == {b"critical": (200, ""), b"high": (200, ""), b"normal": refused, b"low": refused}


async def test_a_loop_that_is_late_sheds_and_one_that_is_not_stops() -> None:
    async with path(OK, forever=True, more="shedding: {lag: 50ms}") as way:
        shedder = way.proxy.registry.shedder
        for _ in range(3):
            shedder.look(1.0, 0)
        assert shedder.shares[NORMAL] > 0.0
        await until_true(lambda: shedder.shares[NORMAL] == 0.0)  # the ticks of an idle worker
        assert (await way.client.request(GET)).body == b"ok"


async def test_a_higher_priority_leaves_the_queue_first() -> None:
    letting_go = asyncio.Event()
    script: Script = [request(), wait(letting_go), response(b"ok")]
    async with Origin(script, forever=True) as origin, AsyncExitStack() as stack:
        yaml = (
            f"upstreams: {{app: {{backends: ['{origin.address}'], limits: {{requests: 1, queue_timeout: 30s}}}}}}\n"
            "routes: [{path: /low, upstream: app, priority: low}, {path: /high, upstream: app, priority: high}]"
        )
        proxy = await stack.enter_async_context(running(yaml))
        clients = [await stack.enter_async_context(connect(proxy.address)) for _ in range(3)]
        group = proxy.proxy.plan.groups["app"]
        for number, (client, target) in enumerate(zip(clients, (b"/low", b"/low", b"/high"), strict=True)):
            await client.send(get(target))
            await until_true(lambda: group.rows[U_ACTIVE] == number + 1)  # noqa: B023
        letting_go.set()
        for client in clients:
            await client.response(b"GET")
        assert [each.target for each in origin.requests] == [b"/low", b"/high", b"/low"]


async def test_never_is_a_long_time() -> None:
    """A backend that accepts and never answers: each request ends on time, and the others are not affected."""
    async with Origin([request(), never], forever=True) as dead, Origin(OK, forever=True) as well:
        yaml = (
            f"upstreams: {{dead: {{backends: ['{dead.address}'], retry: {{attempts: 0}},"
            f" timeouts: {{response_head: 300ms}}}}, well: {{backends: ['{well.address}']}}}}\n"
            "routes: [{path: /dead, upstream: dead}, {path: /, upstream: well}]"
        )
        async with running(yaml) as proxy, connect(proxy.address) as one, connect(proxy.address) as other:
            await one.send(get(b"/dead"))
            for _ in range(50):
                assert (await other.request(GET)).body == b"ok"
            assert made(await one.response(b"GET")) == (504, "relay.head_timeout")
