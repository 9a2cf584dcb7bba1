"""What a stop means for connections: idle ones close, requests in flight are finished, nobody is cut off in time.

Invariant: drain ends, with everything closed or with `timeouts.drain` over.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support.client import connect
from tests.support.origin import end_of_input, request, response, wait
from tests.support.path import GET, path, post, until_true

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
        async with asyncio.timeout(5):
            await way.origin.peers[0].closed_by_peer.wait()
