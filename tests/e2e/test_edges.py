"""Rarer meetings of two events: an answer while the body still streams, an end while bytes wait, failures in a queue.

Invariant: what one side has sent completely reaches the other, whatever else ends meanwhile.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import Origin, Peer, close, end_of_input, half_close, request, response, until, wait
from tests.support.path import GET, config, made, path, until_true
from tests.support.running import running

HEAD_END = b"\r\n\r\n"
UPLOAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n"
ASK = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
REFUSAL = response(b"too much", b"413 Content Too Large", [b"Connection: close"])


# --- an answer while the body streams ----------------------------------------------------------------


async def drained(peer: Peer) -> None:
    """Close as a server should: end our side first, and read on."""
    peer.writer.write_eof()
    await end_of_input(peer)


@pytest.mark.parametrize("turn", range(5))
async def test_a_refusal_in_the_middle_of_a_large_upload(turn: int) -> None:
    async with path([until(HEAD_END), REFUSAL, drained]) as way:
        sending = asyncio.ensure_future(way.client.send(UPLOAD + b"x" * 5_000_000))
        got = await way.client.response(b"POST")
        await asyncio.gather(sending, return_exceptions=True)
        assert (got.status, got.body) == (413, b"too much")


@pytest.mark.parametrize("turn", range(5))
async def test_a_refusal_by_a_backend_that_closes_with_unread_bytes(turn: int) -> None:
    """Its kernel resets the connection, but the answer came before the reset."""
    async with path([until(HEAD_END), REFUSAL, close]) as way:
        await way.client.send(UPLOAD)
        sending = asyncio.ensure_future(way.client.send(b"x" * 5_000_000))
        got = await way.client.response(b"POST")
        await asyncio.gather(sending, return_exceptions=True)
        assert (got.status, got.body) == (413, b"too much")


async def test_an_open_ended_answer_in_the_middle_of_a_large_upload() -> None:
    async with path([until(HEAD_END), b"HTTP/1.1 200 OK\r\n\r\nall of it", drained]) as way:
        sending = asyncio.ensure_future(way.client.send(UPLOAD + b"x" * 5_000_000))
        got = await way.client.response(b"POST")
        await asyncio.gather(sending, return_exceptions=True)
        assert (got.status, got.body) == (200, b"all of it")


async def test_a_slow_client_gets_an_early_answer_whole() -> None:
    """It pauses while the last part of the answer waits in the proxy, which has begun to close."""
    answer = response(b"x" * 8_000_000, b"413 Content Too Large")
    async with path([until(HEAD_END), answer, end_of_input], receive_buffer=4096) as way:
        await way.client.send(UPLOAD)
        await way.client.read_until(HEAD_END)
        got = 0
        while way.proxy.counters.in_flight:
            got += len(await way.client.read())
        (connection,) = way.open
        assert connection.transport.get_write_buffer_size() > 0
        await asyncio.sleep(2.5)
        got += len(await way.client.read_to_end())
        assert got == 8_000_000


# --- an end while bytes wait -------------------------------------------------------------------------


async def test_bytes_for_a_backend_that_has_ended_its_side_of_a_tunnel() -> None:
    go = asyncio.Event()
    async with path([until(HEAD_END), AGREE, half_close, wait(go), end_of_input]) as way:
        await way.client.send(ASK)
        await way.client.response(upgrade=b"websocket")
        assert await way.client.read() == b""
        sending = asyncio.ensure_future(way.client.send(b"x" * 20_000_000))
        await until_true(lambda: any(connection.read_paused for connection in way.open))
        go.set()
        await sending
        way.client.half_close()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        assert len(way.origin.peers[0].received) > 20_000_000
        await until_true(lambda: not way.open and way.pool.size == 0)


async def test_bytes_that_wait_when_the_second_side_of_a_tunnel_ends() -> None:
    """What the proxy has taken from the client reaches the backend, which has only closed its sending side."""
    go = asyncio.Event()
    async with path([until(HEAD_END), AGREE, half_close, wait(go), end_of_input]) as way:
        await way.client.send(ASK)
        await way.client.response(upgrade=b"websocket")
        assert await way.client.read() == b""
        (connection,) = way.open
        backend, sent = connection.x.attempt.upstream.transport, 0
        while not backend.get_write_buffer_size():
            await way.client.send(b"x" * 10_000)
            sent += 10_000
            await asyncio.sleep(0)
        way.client.half_close()
        await until_true(lambda: connection.eof or connection.read_paused)
        go.set()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        assert way.origin.peers[0].received.count(b"x") >= sent
        await until_true(lambda: not way.open and way.pool.size == 0)


async def test_a_slow_client_that_keeps_reading_is_not_cut_off() -> None:
    """send_idle is for clients that do not read at all; this one reads less in that time than the buffers hold."""
    size = 8_000_000
    more = "timeouts: {send_idle: 800ms}"
    async with path([request(), response(b"x" * size)], more=more, receive_buffer=4096) as way:
        await way.client.send(GET)
        await way.client.read_until(HEAD_END)
        await until_true(lambda: any(connection.write_paused for connection in way.open))
        got, slow = 0, asyncio.get_running_loop().time() + 2.0
        while got < size:
            data = await way.client.read()
            assert data, f"cut off after {got} bytes"
            got += len(data)
            if asyncio.get_running_loop().time() < slow:
                await asyncio.sleep(0.02)


# --- failures in a queue -----------------------------------------------------------------------------


async def test_all_that_wait_for_a_backend_that_refuses_are_told() -> None:
    async with Origin() as gone:
        address = gone.address
    yaml = config(address, upstream="pool: {max: 1}")
    async with running(yaml) as proxy, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(proxy.address)) for _ in range(5)]
        for client in clients:
            await client.send(GET)
        assert [made(await client.response()) for client in clients] == [(502, "connect.refused")] * 5


async def test_a_switch_to_another_protocol_than_was_asked_for() -> None:
    agree = AGREE.replace(b"websocket", b"h2c")
    async with path([until(HEAD_END), agree, end_of_input]) as way:
        await way.client.send(ASK)
        assert made(await way.client.response(upgrade=b"websocket")) == (502, "relay.unasked_upgrade")
