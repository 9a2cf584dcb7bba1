"""Connections to a backend, counted where they arrive: kept, limited, aged, and replaced when they went stale.

Invariant: a request that was sent is never sent again unless it may be (RFC 9110 9.2.2), and none is lost silently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from time import monotonic
from typing import Any

import pytest

from proxy.deadlines import Sweep
from proxy.errors import POOL_TIMEOUT, Reason
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.pool import Pool
from proxy.upstream.ports import Requester
from proxy.upstream.spec import PoolSettings
from tests.support import PATIENCE
from tests.support.client import RawClient, connect
from tests.support.origin import Origin, close, end_of_input, request, reset, response, tell, until, wait
from tests.support.path import GET, Path, made, path, post, until_true
from tests.support.running import running, to_backends

ECHO = [request(), response(b"ok")]
POST = post(b"order")


async def clients(stack: AsyncExitStack, way: Path, count: int) -> list[RawClient]:
    return [await stack.enter_async_context(connect(way.running.address)) for _ in range(count)]


async def test_one_connection_serves_many_clients() -> None:
    async with path(ECHO, forever=True) as way:
        for _ in range(10):
            async with connect(way.running.address) as client:
                assert (await client.request(GET)).body == b"ok"
        assert len(way.origin.peers) == 1
        assert (way.pool.size, len(way.pool.idle)) == (1, 1)


async def test_requests_at_a_time_get_connections_of_their_own() -> None:
    go = asyncio.Event()
    async with path([request(), wait(go), response(b"ok")], forever=True) as way, AsyncExitStack() as stack:
        for client in (several := await clients(stack, way, 5)):
            await client.send(GET)
        await until_true(lambda: len(way.origin.requests) == 5)
        assert len(way.origin.peers) == 5
        go.set()
        assert [(await client.response()).body for client in several] == [b"ok"] * 5
        assert (way.pool.size, len(way.pool.idle)) == (5, 5)


async def test_the_minimum_is_kept_warm() -> None:
    async with path(ECHO, forever=True, upstream="pool: {min: 3}") as way:
        await until_true(lambda: len(way.origin.peers) == 3)
        await until_true(lambda: len(way.pool.idle) == 3)
        await way.client.request(GET)
        assert len(way.origin.peers) == 3
        way.origin.peers[0].writer.close()
        await until_true(lambda: len(way.origin.peers) == 4)


async def test_the_maximum_holds_and_the_rest_wait() -> None:
    go = asyncio.Event()
    script = [request(), wait(go), response(b"ok")]
    async with (
        path(script, forever=True, upstream="pool: {max: 2}") as way,
        AsyncExitStack() as stack,
    ):
        for client in (several := await clients(stack, way, 6)):
            await client.send(GET)
        await until_true(lambda: len(way.pool.waiting) == 4)
        assert len(way.origin.requests) == 2
        go.set()
        assert [(await client.response()).body for client in several] == [b"ok"] * 6
        assert len(way.origin.peers) == 2
        assert way.pool.size == 2


async def test_waiting_requests_are_served_in_order() -> None:
    go = asyncio.Event()
    script = [request(), wait(go), response(b"ok"), *ECHO * 5]
    async with path(script, upstream="pool: {max: 1}") as way, AsyncExitStack() as stack:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        several = await clients(stack, way, 5)
        for number, client in enumerate(several):
            await client.send(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            await until_true(partial(waits, way, number + 1))
        go.set()
        for client in several:
            assert (await client.response()).body == b"ok"
        assert [r.target for r in way.origin.requests[1:]] == [b"/%d" % number for number in range(5)]


def waits(way: Path, count: int) -> bool:
    return len(way.pool.waiting) == count


async def test_too_many_waiting() -> None:
    async with (
        path([request(), end_of_input], upstream="pool: {max: 1, pending: 1}") as way,
        AsyncExitStack() as stack,
    ):
        first, second, third = await clients(stack, way, 3)
        await first.send(GET)
        await until_true(lambda: way.origin.requests)
        await second.send(GET)
        await until_true(lambda: len(way.pool.waiting) == 1)
        got = await third.request(GET)
        assert made(got) == (503, "connect.pool_full")
        assert got.header(b"retry-after") is not None
        assert way.backend.in_flight == 2


async def test_nobody_waits_forever() -> None:
    upstream = "pool: {max: 1}, timeouts: {connect: 100ms}"
    async with path([request(), end_of_input], upstream=upstream) as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        async with connect(way.running.address) as other:
            assert made(await other.request(GET)) == (503, "connect.pool_timeout")
        assert len(way.pool.waiting) == 0


class Waits(Requester):
    """A request that notes why it got no connection."""

    def __init__(self) -> None:
        super().__init__()
        self.reason: Reason | None = None

    def connect_failed(self, reason: Reason) -> None:
        self.reason = reason


async def test_who_waits_longest_is_not_always_the_first_to_be_late() -> None:
    """A reload, say, has shortened the time to connect: later requests give up before earlier ones."""
    backend = Backend(BackendSpec("b", "127.0.0.1", 1, "", 1, None))
    settings = PoolSettings(0, 0, 60.0, 60.0, 10, 60.0)
    pool = Pool(backend, settings, Sweep(), 1024, 10)
    patient, hasty, last = Waits(), Waits(), Waits()
    pool.wait(patient)
    pool.adopt(settings._replace(connect_timeout=0.0), 1024, 10)
    pool.wait(hasty)
    pool.adopt(settings, 1024, 10)
    pool.wait(last)
    pool.expire(monotonic())
    assert [each.reason for each in (patient, hasty, last)] == [None, POOL_TIMEOUT, None]
    assert [entry.requester for entry in pool.waiting] == [patient, last]
    await pool.close()


async def test_an_idle_connection_is_closed() -> None:
    async with path(ECHO, forever=True, upstream="pool: {idle: 50ms}") as way:
        await way.client.request(GET)
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_true(lambda: way.pool.size == 0)
        assert (await way.client.request(GET)).body == b"ok"


async def test_an_old_connection_takes_no_more_requests() -> None:
    async with path(ECHO, forever=True, upstream="pool: {lifetime: 20ms}") as way:
        await way.client.request(GET)
        connection: Any = way.pool.idle[0] if way.pool.idle else None
        await until_true(lambda: connection is None or monotonic() - connection.born > 0.02)
        await way.client.request(GET)
        assert len(way.origin.peers) == 2


async def test_a_backend_that_asks_to_close_is_obeyed() -> None:
    answer = response(b"ok", headers=[b"Connection: close"])
    async with path([request(), answer, end_of_input]) as way:
        for _ in range(3):
            got = await way.client.request(GET)
            assert (got.body, got.header(b"connection")) == (b"ok", None)
        assert len(way.origin.peers) == 3


# --- stale connections -------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [GET, POST], ids=["GET", "POST"])
@pytest.mark.parametrize("ending", [close, reset], ids=["close", "reset"])
async def test_a_backend_that_closed_long_ago(sent: bytes, ending: object) -> None:
    go = asyncio.Event()
    async with path([*ECHO, wait(go), ending], ECHO) as way:  # type: ignore[list-item]
        await way.client.request(GET)
        go.set()
        await until_true(lambda: way.pool.size == 0)
        assert (await way.client.request(sent, sent[:4].strip())).body == b"ok"


async def test_a_backend_that_closes_when_the_next_request_comes() -> None:
    """It closed while the request was on its way: a GET goes to a fresh connection, unseen by the client."""
    async with path([*ECHO, until(b"\r\n\r\n"), close], ECHO) as way:
        await way.client.request(GET)
        assert (await way.client.request(GET)).body == b"ok"
        assert len(way.origin.peers) == 2


async def test_a_request_that_was_read_and_reset() -> None:
    async with path([*ECHO, until(b"\r\n\r\n"), reset], ECHO) as way:
        await way.client.request(GET)
        assert (await way.client.request(GET)).body == b"ok"


async def test_all_idle_connections_are_stale() -> None:
    """The way out is a fresh connection, not the next stale one."""
    go = asyncio.Event()
    script = [request(), wait(go), response(b"ok"), request(), close]
    async with path(*[script] * 5, ECHO) as way, AsyncExitStack() as stack:
        for client in (several := await clients(stack, way, 5)):
            await client.send(GET)
        await until_true(lambda: len(way.origin.requests) == 5)
        go.set()
        for client in several:
            await client.response()
        assert len(way.pool.idle) == 5
        assert (await way.client.request(GET)).body == b"ok"
        assert len(way.origin.peers) == 6


async def test_stale_connections_are_no_way_around_the_attempts() -> None:
    """Three backends close each connection at their second request, and new ones at the first: one resend is free."""
    stale, fresh = [*ECHO, request(), close], [request(), close]
    async with AsyncExitStack() as stack:
        origins = [await stack.enter_async_context(Origin(stale, fresh)) for _ in range(3)]
        backends = to_backends(*(origin.address for origin in origins), more="retry: {attempts: 2}")
        proxy = await stack.enter_async_context(running(backends))
        client = await stack.enter_async_context(connect(proxy.address))
        for _ in range(3):
            assert (await client.request(GET)).body == b"ok"
        assert made(await client.request(GET)) == (502, "send.reset")
        assert sorted(len(origin.requests) - 1 for origin in origins) == [1, 1, 2]


@pytest.mark.parametrize("ending", [close, reset], ids=["close", "reset"])
async def test_a_post_that_was_sent_is_never_sent_again(ending: object) -> None:
    async with path([*ECHO, request(), ending], ECHO) as way:  # type: ignore[list-item]
        await way.client.request(GET)
        assert made(await way.client.request(POST, b"POST")) == (502, "send.reset")
        assert sum(r.method == b"POST" for r in way.origin.requests) == 1
        assert (await way.client.request(GET)).body == b"ok"


PUT = b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\n"


async def test_a_put_of_which_all_is_still_held_is_sent_again() -> None:
    async with path([*ECHO, until(b"one"), reset], ECHO) as way:
        await way.client.request(GET)
        await way.client.send(PUT + b"one")
        await until_true(lambda: len(way.origin.peers) == 2)
        await way.client.send(b"two")
        assert (await way.client.response(b"PUT")).body == b"ok"
        assert way.origin.requests[-1].body == b"onetwo"


async def test_a_put_that_was_sent_in_parts_is_sent_again_as_a_whole() -> None:
    async with path([*ECHO, until(b"one"), until(b"tw"), reset], ECHO) as way:
        await way.client.request(GET)
        await way.client.send(PUT + b"one")
        await until_true(lambda: way.origin.peers[0].received.endswith(b"one"))
        await way.client.send(b"tw")
        await until_true(lambda: len(way.origin.peers) == 2)
        await way.client.send(b"o")
        assert (await way.client.response(b"PUT")).body == b"ok"
        assert way.origin.requests[-1].body == b"onetwo"


async def test_a_put_that_is_larger_than_what_is_kept_is_not_sent_again() -> None:
    small = "retry: {buffer: 4B}"
    async with path([*ECHO, until(b"one"), until(b"tw"), reset], ECHO, upstream=small) as way:
        await way.client.request(GET)
        await way.client.send(PUT + b"one")
        await until_true(lambda: way.origin.peers[0].received.endswith(b"one"))
        await way.client.send(b"tw")
        assert made(await way.client.response(b"PUT")) == (502, "send.reset")
        assert len(way.origin.peers) == 1


async def test_a_fresh_connection_that_closes_is_an_error() -> None:
    """Not a stale one: a backend that does so once will do so again."""
    async with path([until(b"\r\n\r\n"), close]) as way:
        assert made(await way.client.request(GET)) == (502, "send.reset")
        assert len(way.origin.peers) == 1


async def test_a_post_never_meets_a_connection_whose_end_has_arrived() -> None:
    """The backend closes right behind its answer, again and again: no POST is lost, none is doubled."""
    closing = [request(), response(b"ok"), close]
    async with path(closing) as way:
        for _ in range(50):
            got = await way.client.request(POST, b"POST")
            assert made(got) in ((200, ""), (502, "send.reset"))
        answered = sum(r.method == b"POST" for r in way.origin.requests)
        assert answered <= 50


async def test_several_backends_when_one_refuses() -> None:
    async with Origin() as gone:
        refusing = gone.address
    async with Origin(ECHO, forever=True) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{refusing}', '{origin.address}']}}}}\nroutes: [{{upstream: app}}]"
        async with running(yaml) as proxy, connect(proxy.address) as client:
            for _ in range(6):
                assert (await client.request(POST, b"POST")).body == b"ok"  # nothing was sent to the other one
            members = next(iter(proxy.proxy.plan.groups.values())).members.all
            assert [backend.in_flight for backend in members] == [0, 0]


def once_connected(monkeypatch: pytest.MonkeyPatch, port: int, do: Callable[[Any], Awaitable[None]]) -> None:
    """Between the moment that a connection to this port is there and that at which it is used, `do` this with it."""
    loop = asyncio.get_running_loop()
    real = loop.create_connection

    async def create_connection(factory: Any, host: Any = None, to: Any = None, **more: Any) -> Any:
        transport, protocol = await real(factory, host, to, **more)
        if to == port:
            await do(protocol)
        return transport, protocol

    monkeypatch.setattr(loop, "create_connection", create_connection)


async def close_at_once(connection: Any) -> None:
    connection.transport.abort()
    await until_true(lambda: not connection.usable())


@pytest.mark.parametrize("sent", [GET, POST], ids=["GET", "POST"])
async def test_a_connection_that_closes_before_it_is_used(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is told at once, and not left to wait for another connection."""
    async with path(ECHO, forever=True) as way:
        once_connected(monkeypatch, int(way.origin.address.rpartition(":")[2]), close_at_once)
        for _ in range(3):
            assert made(await way.client.request(sent, sent[:4].strip())) == (502, "connect.refused")
        assert (len(way.pool.waiting), way.backend.in_flight) == (0, 0)
        await until_true(lambda: way.pool.size == way.pool.opening == 0)


async def test_a_connection_that_opens_as_time_runs_out_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the loop was held up both are news at once. Nobody would ever use it, close it, or take it for closed."""

    async def out_of_time(_: Any) -> None:
        raise TimeoutError

    async with path([end_of_input], upstream="retry: {attempts: 0}") as way:
        once_connected(monkeypatch, int(way.origin.address.rpartition(":")[2]), out_of_time)
        assert made(await way.client.request(GET)) == (504, "connect.timeout")
        await until_true(lambda: (way.pool.size, way.pool.opening, way.pool.idle) == (0, 0, []))
        await until_true(way.origin.peers[0].closed_by_peer.is_set)


async def test_another_backend_serves_if_a_connection_closes_before_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Origin(ECHO, forever=True) as closing, Origin(ECHO, forever=True) as good:
        once_connected(monkeypatch, int(closing.address.rpartition(":")[2]), close_at_once)
        yaml = f"upstreams: {{app: {{backends: ['{closing.address}', '{good.address}']}}}}\nroutes: [{{upstream: app}}]"
        async with running(yaml) as proxy, connect(proxy.address) as client:
            for _ in range(6):
                assert (await client.request(POST, b"POST")).body == b"ok"
        assert len(good.requests) == 6


async def test_a_told_origin_sees_each_request_once() -> None:
    told = asyncio.Event()
    async with path([request(), tell(told), response(b"ok")], forever=True) as way:
        await way.client.request(POST, b"POST")
        assert told.is_set()
        assert len(way.origin.requests) == 1
