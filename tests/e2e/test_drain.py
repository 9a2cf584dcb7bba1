"""What a stop means for connections: idle ones close, requests in flight are finished, nobody is cut off in time.

Invariant: drain ends, with everything closed or with `timeouts.drain` over.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import end_of_input, request, response, wait
from tests.support.path import GET, made, path, post, until_counted, until_true

ECHO = [request(), response(b"ok")]


async def test_an_idle_connection_is_closed() -> None:
    async with path(ECHO, forever=True) as way:
        await way.client.request(GET)
        assert await way.proxy.drain()
        assert await way.client.closed()


async def test_a_request_in_flight_is_finished() -> None:
    go = asyncio.Event()
    async with path([request(), wait(go), response(b"ok")]) as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        draining = asyncio.ensure_future(way.proxy.drain())
        with pytest.raises(ConnectionRefusedError):
            while True:  # the listener closes in one of the next turns of the loop
                async with connect(way.running.address):
                    await asyncio.sleep(0)
        go.set()
        got = await way.client.response()
        assert (got.body, got.header(b"connection")) == (b"ok", b"close")
        assert await way.client.closed()
        assert await draining


async def test_a_body_in_flight_is_taken_to_its_end() -> None:
    async with path([request(), response(b"ok")]) as way:
        sent = post(b"x" * 1000)
        await way.client.send(sent[:-500])
        await until_true(lambda: way.origin.peers)
        draining = asyncio.ensure_future(way.proxy.drain())
        await asyncio.sleep(0)
        await way.client.send(sent[-500:])
        assert (await way.client.response(b"POST")).body == b"ok"
        assert await draining


async def test_what_does_not_end_is_given_up() -> None:
    async with path([request(), end_of_input], more="timeouts: {drain: 50ms}") as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        assert not await way.proxy.drain()
        await way.proxy.close()
        assert not way.open
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()


async def test_a_response_whose_head_is_out_already_is_finished() -> None:
    """That head could not say `Connection: close` any more; the connection closes behind the body all the same."""
    go = asyncio.Event()
    half = response(b"half" + b"rest")[:-4]
    async with path([request(), half, wait(go), b"rest", end_of_input]) as way:
        await way.client.send(GET)
        assert (await way.client.read_until(b"half")).endswith(b"half")
        draining = asyncio.ensure_future(way.proxy.drain())
        await until_true(lambda: all(not connection.may_keep for connection in way.open))
        go.set()
        assert await way.client.read_to_end() == b"rest"
        assert await draining


async def test_who_has_no_response_when_the_time_is_up_is_told() -> None:
    async with path([request(), end_of_input], more="timeouts: {drain: 50ms}") as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        assert not await way.proxy.drain()
        closing = asyncio.ensure_future(way.proxy.close())
        got = await way.client.response()
        assert (made(got), got.header(b"connection")) == ((503, "admit.shutting_down"), b"close")
        assert await way.client.closed()
        await closing


async def test_who_has_a_part_of_the_response_when_the_time_is_up_is_cut_off() -> None:
    """The part that came must not pass for the whole."""
    async with path([request(), response(b"half and rest")[:-9], end_of_input], more="timeouts: {drain: 50ms}") as way:
        await way.client.send(GET)
        assert (await way.client.read_until(b"half")).endswith(b"half")
        assert not await way.proxy.drain()
        await way.proxy.close()
        assert await way.client.closed()
        await until_counted(way.proxy, "admit.shutting_down")
