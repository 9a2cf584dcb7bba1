"""A slow side throttles the fast one, in both directions, in bounded memory.

The proxy runs as a process of its own, so its memory is nobody else's. Invariant: what it holds for one connection
is bounded by its buffers, whatever the size of the body; all of the body arrives.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import RawClient, connect
from tests.support.origin import Origin, Peer, end_of_input, request, response, until, wait
from tests.support.path import GET, config, path, until_true
from tests.support.path import Path as Way
from tests.support.process import Process, process

pytestmark = pytest.mark.processes

PIECE = b"x" * 1_000_000
PIECES = 200
WHOLE = len(PIECE) * PIECES
ALLOWED = 8 * 1024 * 1024
"""Growth of the process while 200 MB pass through it."""
UNDER_WAY = 40_000_000
"""What a sender may get rid of while the other end does not read: buffers of the kernel on both sides, and ours."""


class Flood:
    """A step that sends 200 MB, and counts."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, peer: Peer) -> None:
        for _ in range(PIECES):
            await peer.send(PIECE)
            self.sent += len(PIECE)


async def stands_still(count: Callable[[], int]) -> int:
    """Wait until a count has not grown for a while."""
    before, now = -1, count()
    while before != now:
        before = now
        await asyncio.sleep(0.3)
        now = count()
    return now


async def count_to_end(client: RawClient) -> int:
    total = 0
    while data := await client.read():
        total += len(data)
    return total


HEADS = {
    "length": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % WHOLE,
    "open ended": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("kind", HEADS)
async def test_a_client_that_stops_reading_throttles_the_backend(tmp_path: Path, kind: str) -> None:
    flood = Flood()
    async with (
        Origin([request(), HEADS[kind], flood]) as origin,
        process(tmp_path, config(origin.address)) as proxy,
        connect(proxy.address) as client,
    ):
        before = proxy.memory()
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await until_true(lambda: flood.sent)
        assert await stands_still(lambda: flood.sent) < UNDER_WAY
        assert proxy.memory() - before < ALLOWED
        assert await count_to_end(client) >= WHOLE
        assert flood.sent == WHOLE
        assert proxy.peak_memory() - before < ALLOWED


async def test_a_backend_that_stops_reading_throttles_the_client(tmp_path: Path) -> None:
    go = asyncio.Event()
    taken = 0

    async def take(peer: Peer) -> None:
        nonlocal taken
        await go.wait()
        while taken < WHOLE:
            taken += len(await peer.read())
            peer.received.clear()

    async with (
        Origin([until(b"\r\n\r\n"), take, response(b"ok"), end_of_input]) as origin,
        process(tmp_path, config(origin.address, route="limits: {body_size: 1GiB}")) as proxy,
        connect(proxy.address) as client,
    ):
        before = proxy.memory()
        sent = await pour(client, proxy, go, before)
        assert sent == WHOLE
        assert (await client.response(b"POST")).body == b"ok"
        assert proxy.peak_memory() - before < ALLOWED


async def pour(client: RawClient, proxy: Process, go: asyncio.Event, before: int) -> int:
    """Send 200 MB; the backend begins to read only when no more can be sent. Returns the number of bytes."""
    sent = 0

    async def send() -> None:
        nonlocal sent
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % WHOLE)
        for _ in range(PIECES):
            await client.send(PIECE)
            sent += len(PIECE)

    sending = asyncio.ensure_future(send())
    await until_true(lambda: sent)
    assert await stands_still(lambda: sent) < UNDER_WAY
    assert proxy.memory() - before < ALLOWED
    go.set()
    await sending
    return sent


async def test_both_directions_at_a_time(tmp_path: Path) -> None:
    """An echo that answers as it reads, and a client that reads late: neither side may block the other for good."""

    async def echo(peer: Peer) -> None:
        left = 20_000_000
        while left:
            data = await peer.read()
            await peer.send(data)
            left -= len(data)

    script = [until(b"\r\n\r\n"), b"HTTP/1.1 200 OK\r\nContent-Length: 20000000\r\n\r\n", echo, end_of_input]
    async with (
        Origin(script) as origin,
        process(tmp_path, config(origin.address, route="limits: {body_size: 1GiB}")) as proxy,
        connect(proxy.address) as client,
    ):
        before = proxy.memory()
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n")
        sending = asyncio.ensure_future(client.send(b"y" * 20_000_000))
        await client.read_until(b"\r\n\r\n")
        await client.read_exactly(20_000_000)
        await sending
        assert proxy.peak_memory() - before < ALLOWED


async def test_many_slow_clients_at_a_time(tmp_path: Path) -> None:
    """The bound per connection: the write buffer's limit and one read of the loop, with some room."""
    clients = 50
    async with (
        Origin([request(), HEADS["length"], Flood()]) as origin,
        process(tmp_path, config(origin.address)) as proxy,
    ):
        before = proxy.memory()

        async def one() -> None:
            async with connect(proxy.address) as client:
                await client.send(GET)
                await client.read_until(b"\r\n\r\n")
                started.append(client)
                await done.wait()

        started: list[RawClient] = []
        done = asyncio.Event()
        tasks = [asyncio.ensure_future(one()) for _ in range(clients)]
        await until_true(lambda: len(started) == clients)
        await stands_still(proxy.memory)
        grown = proxy.memory() - before
        done.set()
        await asyncio.gather(*tasks)
        assert grown < clients * 768 * 1024


async def test_buffers_of_a_connection_are_bounded() -> None:
    """The same from inside: what waits in the proxy itself for a client that does not read."""
    async with path([request(), HEADS["length"], Flood()], receive_buffer=4096) as way:
        await way.client.send(GET)
        await until_true(lambda: any(connection.write_paused for connection in way.open))
        (connection,) = way.open
        waiting = await stands_still(connection.transport.get_write_buffer_size)
        assert 0 < waiting < 1_048_576
        way.client.reset()
        await until_true(lambda: way.pool.size == 0)


# --- a write that fills the socket at once -----------------------------------------------------------

UPLOAD = 6_000_000
ASK = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


async def connect_to_backend(way: Way) -> None:
    """Leaves an idle backend connection whose buffers are small, as on a real network: the first write is too much."""
    for listening in way.origin._server.sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # inherited by what it accepts
    assert (await way.client.request(GET)).body == b"ok"
    resize(way, 16384, 8192)


def resize(way: Way, send: int, receive: int) -> None:
    """Set the buffers of the only backend connection, in bytes."""
    sending: Any = next(iter(way.pool.idle), None) or next(connection.x.attempt.upstream for connection in way.open)
    sending.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)
    receiving = way.origin.peers[0].writer.get_extra_info("socket")
    receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)


async def is_throttled(way: Way) -> None:
    """The client is not read from any more, and what waits for the backend is bounded."""
    (connection,) = way.open
    await until_true(lambda: connection.read_paused)
    assert await stands_still(connection.x.attempt.upstream.transport.get_write_buffer_size) < 1_048_576
    assert connection.read_paused


async def test_an_upload_whose_first_write_is_too_much(tmp_path: Path) -> None:
    """The client sits on a Unix socket, which hands over far more with the first read than a young TCP window."""
    go = asyncio.Event()
    taken = 0

    async def take(peer: Peer) -> None:
        nonlocal taken
        while taken < UPLOAD:
            taken += len(await peer.read())

    script = [request(), response(b"ok"), until(b"\r\n\r\n"), wait(go), take, response(b"thanks"), end_of_input]
    more = f"listeners: [{{bind: 'unix:{tmp_path}/listener'}}]"
    async with path(script, more=more) as way:
        await connect_to_backend(way)
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % UPLOAD
        sending = asyncio.ensure_future(way.client.send(head + b"x" * UPLOAD))
        await is_throttled(way)
        resize(way, 1 << 20, 1 << 20)
        go.set()
        await sending
        assert (await way.client.response(b"POST")).body == b"thanks"
        assert (taken, len(way.origin.peers)) == (UPLOAD, 1)


async def test_a_tunnel_whose_first_write_is_too_much() -> None:
    """What the client sent before the backend agreed goes out with one write."""
    agree, go = asyncio.Event(), asyncio.Event()
    script = [request(), response(b"ok"), until(b"\r\n\r\n"), wait(agree), AGREE, wait(go), end_of_input, b"bye"]
    async with path(script) as way:
        await connect_to_backend(way)
        sending = asyncio.ensure_future(way.client.send(ASK + b"x" * UPLOAD))
        await until_true(lambda: any(connection.read_paused for connection in way.open))
        agree.set()
        assert (await way.client.response(upgrade=b"websocket")).status == 101
        await is_throttled(way)
        resize(way, 1 << 20, 1 << 20)
        go.set()
        await sending
        way.client.half_close()
        assert await way.client.read_to_end() == b"bye"
        assert len(way.origin.peers[0].received) > UPLOAD
