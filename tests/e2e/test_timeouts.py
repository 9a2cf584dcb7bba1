"""Every time-out of the configuration, with values so short that the test is fast.

Invariant: tests look at the outcome and its reason, never at how long it took; whoever keeps making progress is
not cut off.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import Peer, Step, end_of_input, request, response, until, wait
from tests.support.path import CHUNKED_POST, GET, made, path, post, until_counted, until_true

HEAD_END = b"\r\n\r\n"
HANG = [until(HEAD_END), end_of_input]
ECHO = [request(), response(b"ok")]
OK = b"HTTP/1.1 200 OK\r\n"


async def backend_saw_the_end(peers: list[Peer]) -> None:
    async with asyncio.timeout(PATIENCE):
        await peers[0].closed_by_peer.wait()


# --- the request -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA: b"])
async def test_a_head_that_does_not_end(sent: bytes) -> None:
    async with path(ECHO, more="timeouts: {head: 50ms}") as way:
        await way.client.send(sent)
        got = await way.client.response()
        assert (made(got), got.header(b"connection")) == ((408, "accept.head_timeout"), b"close")
        assert await way.client.closed()
        assert way.origin.peers == []


async def test_a_slow_loris_is_dropped() -> None:
    """It sends a byte again and again: that is progress, but the head is due as a whole."""
    async with path(ECHO, more="timeouts: {head: 200ms}") as way:
        await way.client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = asyncio.ensure_future(way.client.response())
        while not answer.done():
            try:
                await way.client.send(b"X-A: b\r\n")
            except ConnectionError:
                break
            await asyncio.wait({answer}, timeout=0.02)
        assert made(await answer) == (408, "accept.head_timeout")


async def test_a_slow_loris_after_a_request() -> None:
    async with path(ECHO, more="timeouts: {head: 50ms}") as way:
        assert (await way.client.request(GET + b"GET / HT")).body == b"ok"
        assert made(await way.client.response()) == (408, "accept.head_timeout")


async def test_a_client_that_says_nothing() -> None:
    async with path(ECHO, more="timeouts: {head: 50ms}") as way:
        assert await way.client.read_to_end() == b""
        await until_true(lambda: not way.open)


async def test_no_further_request() -> None:
    async with path(ECHO, forever=True, more="timeouts: {keepalive: 50ms}") as way:
        assert (await way.client.request(GET)).body == b"ok"
        assert await way.client.read_to_end() == b""
        await until_true(lambda: not way.open)


@pytest.mark.parametrize(
    "sent", [b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", CHUNKED_POST + b"9\r\nhalf"]
)
async def test_a_body_that_stalls(sent: bytes) -> None:
    async with path(HANG, more="timeouts: {body_idle: 50ms}") as way:
        await way.client.send(sent)
        got = await way.client.response(b"POST")
        assert (made(got), got.header(b"connection")) == ((408, "accept.body_timeout"), b"close")
        assert await way.client.closed()
        await backend_saw_the_end(way.origin.peers)


async def test_a_body_that_stalls_on_a_route_with_its_own_value() -> None:
    async with path(HANG, route="timeouts: {body_idle: 50ms}") as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        assert made(await way.client.response(b"POST")) == (408, "accept.body_timeout")


async def test_a_slow_body_is_not_cut_off_while_it_makes_progress() -> None:
    """In all it takes longer than body_idle, and than response_head, which counts from its end."""
    more = "timeouts: {body_idle: 1500ms, response_head: 1500ms}"
    async with path([request(), response(b"ok"), end_of_input], more=more) as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            await way.client.send(b"x")
            await asyncio.sleep(0.1)
        assert made(await way.client.response(b"POST")) == (200, "")


# --- the backend -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"more": "timeouts: {response_head: 50ms}"},
        {"upstream": "timeouts: {response_head: 50ms}"},
        {"route": "timeouts: {response_head: 50ms}"},
    ],
    ids=["global", "upstream", "route"],
)
async def test_no_response_head(settings: dict[str, str]) -> None:
    async with path(HANG, **settings) as way:  # type: ignore[arg-type]
        assert made(await way.client.request(GET)) == (504, "relay.head_timeout")
        await backend_saw_the_end(way.origin.peers)
        assert (way.pool.size, way.backend.in_flight) == (0, 0)


@pytest.mark.parametrize("sent", [b"HTTP", OK + b"A: b", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
async def test_a_response_head_that_does_not_end(sent: bytes) -> None:
    async with path([request(), sent, end_of_input], more="timeouts: {response_head: 50ms}") as way:
        assert made(await way.client.request(GET)) == (504, "relay.head_timeout")


async def test_a_response_head_that_trickles() -> None:
    async def forever(peer: Peer) -> None:
        while not peer.writer.is_closing():
            await peer.send(b"A: b\r\n")
            await asyncio.sleep(0.01)

    async with path([request(), OK, forever], more="timeouts: {response_head: 150ms}") as way:
        assert made(await way.client.request(GET)) == (504, "relay.head_timeout")


async def test_a_post_that_timed_out_leaves_the_client_connection_usable() -> None:
    async with path(HANG, ECHO, more="timeouts: {response_head: 50ms}") as way:
        got = await way.client.request(post(b"x"), b"POST")
        assert (made(got), got.header(b"connection")) == ((504, "relay.head_timeout"), None)
        assert (await way.client.request(GET)).body == b"ok"


STALLING = [
    OK + b"Content-Length: 9\r\n\r\nhalf",
    OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    OK + b"\r\nhalf",
]


@pytest.mark.parametrize("sent", STALLING, ids=["length", "chunked", "open ended"])
@pytest.mark.parametrize("key", ["more", "upstream", "route"])
async def test_a_response_that_stalls(sent: bytes, key: str) -> None:
    settings = {key: "timeouts: {response_idle: 50ms}"}
    async with path([request(), sent, end_of_input], **settings) as way:  # type: ignore[arg-type]
        await way.client.send(GET)
        whole = await way.client.read_to_end()
        assert b"half" in whole
        assert not whole.endswith(b"0\r\n\r\n")
        await until_counted(way.proxy, "relay.idle_timeout")
        await backend_saw_the_end(way.origin.peers)


async def test_a_slow_response_is_not_cut_off_while_it_makes_progress() -> None:
    async def slowly(peer: Peer) -> None:
        for _ in range(20):
            await peer.send(b"x")
            await asyncio.sleep(0.1)

    more = "timeouts: {response_idle: 1500ms, response_head: 1500ms}"
    async with path([request(), OK + b"Content-Length: 20\r\n\r\n", slowly], more=more) as way:
        assert (await way.client.request(GET)).body == b"x" * 20


@pytest.mark.parametrize("key", ["more", "route"])
async def test_the_whole_request(key: str) -> None:
    async with path(HANG, **{key: "timeouts: {request: 50ms}"}) as way:  # type: ignore[arg-type]
        assert made(await way.client.request(GET)) == (504, "relay.request_timeout")
        await backend_saw_the_end(way.origin.peers)


async def test_the_whole_request_in_the_middle_of_the_response() -> None:
    """A backend that sends without end is cut off, and the client sees that something is missing."""

    async def forever(peer: Peer) -> None:
        while not peer.writer.is_closing():
            await peer.send(b"4\r\nmore\r\n")
            await asyncio.sleep(0.01)

    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    async with path([request(), head, forever], more="timeouts: {request: 150ms}") as way:
        await way.client.send(GET)
        whole = await way.client.read_to_end()
        assert whole.startswith(OK)
        assert not whole.endswith(b"0\r\n\r\n")
        await until_counted(way.proxy, "relay.request_timeout")


async def test_the_whole_request_in_the_middle_of_the_body() -> None:
    async with path(HANG, more="timeouts: {request: 100ms}") as way:
        await way.client.send(CHUNKED_POST)
        answer = asyncio.ensure_future(way.client.response(b"POST"))
        while not answer.done():
            try:
                await way.client.send(b"1\r\nx\r\n")
            except ConnectionError:
                break
            await asyncio.wait({answer}, timeout=0.01)
        assert (await answer).status in (408, 504)
        await backend_saw_the_end(way.origin.peers)


async def test_the_whole_request_while_the_backend_does_not_take_the_body() -> None:
    """The client is not to blame: it waits because the backend does."""
    sent_all = asyncio.Event()

    async def flood() -> None:
        for _ in range(100):
            await way.client.send(b"x" * 1_000_000)
        sent_all.set()

    more = "timeouts: {request: 500ms}\nlimits: {body_size: 1GiB}"
    async with path([until(HEAD_END), wait(asyncio.Event())], more=more) as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
        sending = asyncio.ensure_future(flood())
        got = await way.client.response(b"POST")
        assert (made(got), got.header(b"connection")) == ((504, "relay.request_timeout"), b"close")
        await asyncio.gather(sending, return_exceptions=True)
        assert (way.backend.in_flight, way.proxy.counters.in_flight, way.pool.size) == (0, 0, 0)


# --- a client that does not read ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"Content-Length: 100000000\r\n\r\n", b"\r\n"], ids=["length", "open ended"])
async def test_a_client_that_does_not_read(kind: bytes) -> None:
    async def flood(peer: Peer) -> None:
        for _ in range(1000):
            await peer.send(b"x" * 100_000)

    script: list[Step] = [request(), OK + kind, flood, end_of_input]
    async with path(script, more="timeouts: {send_idle: 100ms}", receive_buffer=4096) as way:
        await way.client.send(GET)
        await until_counted(way.proxy, "relay.client_stalled")
        await until_true(lambda: not way.open and way.pool.size == 0)
        assert (way.proxy.counters.in_flight, way.backend.in_flight) == (0, 0)


@pytest.mark.parametrize("reads", [False, True], ids=["not at all", "slowly"])
async def test_the_whole_request_of_a_slow_reader(reads: bool) -> None:
    """It may be slow only as long as the request may take; else it would hold a backend connection as it likes."""

    async def flood(peer: Peer) -> None:
        for _ in range(1000):
            await peer.send(b"x" * 100_000)

    def over() -> bool:
        return "relay.request_timeout" in way.proxy.counters.reasons

    script: list[Step] = [request(), OK + b"Content-Length: 100000000\r\n\r\n", flood, end_of_input]
    more = "timeouts: {request: 300ms, send_idle: 20s}"
    async with path(script, more=more, receive_buffer=4096) as way:
        await way.client.send(GET)
        await until_true(lambda: any(connection.write_paused for connection in way.open))
        while reads and not over():
            await way.client.read()
            await asyncio.sleep(0.01)
        await until_counted(way.proxy, "relay.request_timeout")
        await until_true(lambda: not way.open and way.pool.size == 0)
        assert (way.proxy.counters.in_flight, way.backend.in_flight) == (0, 0)


async def test_a_client_that_reads_none_of_its_pipelined_answers() -> None:
    answer = response(b"x" * 50_000)
    script = [request(), answer]
    more = "timeouts: {send_idle: 100ms}"
    async with path(script, forever=True, more=more, receive_buffer=4096) as way:
        sending = asyncio.ensure_future(way.client.send(GET * 2000))
        await until_true(lambda: not way.open)
        await asyncio.gather(sending, return_exceptions=True)
        assert len(way.origin.requests) < 500
        assert (way.proxy.counters.in_flight, way.backend.in_flight) == (0, 0)


# --- the end of a connection -------------------------------------------------------------------------


async def test_lingering_has_an_end() -> None:
    """After a refusal the body is read on, so that no reset destroys the answer: for a time, not up to a size."""
    async with path(ECHO, route="limits: {body_size: 3}") as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000000\r\n\r\nabcdef")
        for _ in range(50):  # whatever the size of it, what is read in time destroys nothing
            await way.client.send(b"x" * 100_000)
        assert made(await way.client.response(b"POST")) == (413, "admit.body_too_large")
        with pytest.raises(ConnectionError):
            while True:
                await way.client.send(b"x" * 100)
                await asyncio.sleep(0.01)
        await until_true(lambda: not way.open)


async def test_a_lingering_client_that_says_nothing_is_dropped() -> None:
    async with path(ECHO, more="timeouts: {half_close: 50ms}") as way:
        await way.client.send(b"nonsense\r\n\r\n")
        await way.client.read_to_end()  # the proxy has ended its side; we keep ours open
        await until_true(lambda: not way.open)


async def test_a_request_in_time_resets_the_keepalive() -> None:
    go = asyncio.Event()
    more = "timeouts: {keepalive: 100ms}"
    async with path([request(), wait(go), response(b"late")], more=more) as way, connect(way.running.address) as b:
        await way.client.send(GET)
        await b.send(GET)
        await until_true(lambda: len(way.origin.requests) == 2)
        await asyncio.sleep(0.3)  # far longer than keepalive, which does not count while a request is in flight
        go.set()
        assert (await way.client.response()).body == b"late"
        assert (await b.response()).body == b"late"


async def test_many_slow_clients_do_not_keep_others_out() -> None:
    more = "timeouts: {head: 1s}"
    async with path(ECHO, forever=True, more=more) as way, AsyncExitStack() as stack:
        slow = []
        for _ in range(300):
            slow.append(await stack.enter_async_context(connect(way.running.address)))
            await slow[-1].send(b"GET / HTTP/1.1\r\nHost: x\r\nX-")
        async with connect(way.running.address) as other:
            assert (await other.request(GET)).body == b"ok"
        assert {made(await client.response()) for client in slow} == {(408, "accept.head_timeout")}
        await until_counted(way.proxy, "accept.head_timeout", 300)
