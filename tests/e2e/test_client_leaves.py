"""A client that closes its sending side, or leaves altogether, at every moment of a request.

Invariant: whoever may still read gets an answer; for whoever is gone the backend stops working at once.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import end_of_input, request, response, tell, until, wait
from tests.support.path import CHUNKED_POST, GET, Path, made, path, post, until_counted, until_true

HEAD_END = b"\r\n\r\n"
ECHO = [request(), response(b"ok")]


async def until_nothing_is_left(way: Path) -> None:
    """The client is forgotten, no connection to the backend is busy, and nothing is counted as in flight."""
    await until_true(lambda: not way.open)
    await until_true(lambda: way.pool.size == len(way.pool.idle))
    assert (way.proxy.counters.in_flight, way.backend.in_flight, len(way.pool.waiting)) == (0, 0, 0)


# --- half-close --------------------------------------------------------------------------------------


async def test_a_half_closed_client_gets_its_answer() -> None:
    go, asked = asyncio.Event(), asyncio.Event()
    async with path([request(), tell(asked), wait(go), response(b"ok")]) as way:
        await way.client.send(GET)
        way.client.half_close()
        await asked.wait()
        go.set()
        assert (await way.client.response()).body == b"ok"
        assert await way.client.closed()


async def test_a_half_closed_client_gets_a_long_answer_whole() -> None:
    body = b"x" * 3_000_000
    async with path([request(), response(body)], more="timeouts: {half_close: 10s}") as way:
        await way.client.send(GET)
        way.client.half_close()
        assert (await way.client.response()).body == body


async def test_pipelined_requests_before_a_half_close_are_all_answered() -> None:
    """As `printf ... | nc` sends them: none may be dropped without a word."""
    async with path(ECHO, forever=True) as way:
        await way.client.send(GET * 3)
        way.client.half_close()
        assert (await way.client.read_to_end()).count(b"HTTP/1.1 200 OK") == 3


async def test_a_half_closed_client_is_given_up_after_a_while() -> None:
    """Whether it has left or only closed its sending side cannot be told, so half_close bounds the wait."""
    async with path([until(HEAD_END), end_of_input], more="timeouts: {half_close: 50ms}") as way:
        await way.client.send(GET)
        way.client.half_close()
        await way.client.read_to_end()
        await until_counted(way.proxy, "relay.client_gone")
        await until_nothing_is_left(way)


async def test_a_body_that_ends_early_is_refused() -> None:
    async with path([until(HEAD_END), end_of_input]) as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await until_true(lambda: way.origin.peers)
        way.client.half_close()
        assert made(await way.client.response(b"POST")) == (400, "accept.body_incomplete")
        assert await way.client.closed()
        await until_nothing_is_left(way)


async def test_chunks_that_end_early_are_refused() -> None:
    async with path([until(HEAD_END), end_of_input]) as way:
        await way.client.send(CHUNKED_POST + b"5\r\nab")
        await until_true(lambda: way.origin.peers)
        way.client.half_close()
        assert made(await way.client.response(b"POST")) == (400, "accept.body_incomplete")
        await until_nothing_is_left(way)
        assert bytes(way.origin.peers[0].received).endswith(b"5\r\nab")  # no end was made up


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n"])
async def test_a_head_that_ends_early(sent: bytes) -> None:
    async with path(ECHO) as way:
        await way.client.send(sent)
        way.client.half_close()
        await way.client.read_to_end()
        await until_true(lambda: not way.open)
        assert way.origin.peers == []


# --- leaving -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_leaving_while_the_backend_works(how: str) -> None:
    more = "timeouts: {half_close: 50ms}"
    async with path([until(HEAD_END), end_of_input], more=more) as way, connect(way.running.address) as other:
        await other.send(GET)
        await until_true(lambda: way.origin.peers and way.origin.peers[0].received)
        other.reset() if how == "reset" else other.writer.close()
        await until_counted(way.proxy, "relay.client_gone")
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_true(lambda: way.pool.size == 0 and way.proxy.counters.in_flight == 0)


async def test_leaving_in_the_middle_of_the_body() -> None:
    async with path([until(b"half"), end_of_input], ECHO) as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        await until_true(lambda: way.origin.peers and b"half" in way.origin.peers[0].received)
        way.client.reset()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_nothing_is_left(way)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhalf",
    ],
    ids=["length", "chunked", "open ended"],
)
async def test_leaving_in_the_middle_of_the_response(head: bytes) -> None:
    async with path([request(), head, end_of_input], ECHO) as way:
        await way.client.send(GET)
        await way.client.read_until(b"half")
        way.client.reset()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_nothing_is_left(way)
        async with connect(way.running.address) as other:
            assert (await other.request(GET)).body == b"ok"


async def test_leaving_while_waiting_for_a_connection() -> None:
    async with path([request(), end_of_input], upstream="pool: {max: 1}") as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        async with connect(way.running.address) as other:
            await other.send(GET)
            await until_true(lambda: len(way.pool.waiting) == 1)
            other.reset()
            await until_true(lambda: len(way.pool.waiting) == 0)
        assert way.backend.in_flight == 1


async def test_leaving_with_requests_pipelined() -> None:
    async with path([request(), end_of_input]) as way:
        await way.client.send(GET * 5 + post(b"x"))
        await until_true(lambda: way.origin.requests)
        way.client.reset()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_nothing_is_left(way)
        assert len(way.origin.requests) == 1


async def test_leaving_with_more_pipelined_than_is_held() -> None:
    """While reading is stopped the end of the client shows late: the time-outs still bound it."""
    more = "timeouts: {response_head: 300ms, send_idle: 300ms}"
    async with path([request(), end_of_input], more=more) as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        await way.client.send(GET * 5_000)
        way.client.reset()
        await until_nothing_is_left(way)
