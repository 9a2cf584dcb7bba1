"""Random requests, cut into random pieces, through the proxy to a backend that echoes them in random forms.

Invariant: every request gets the answer to itself, in order and with every byte; a failing seed repeats exactly.
"""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.support.client import RawClient, connect
from tests.support.origin import Peer, request
from tests.support.path import path

REQUESTS = 40


def chunked(body: bytes, dice: random.Random) -> bytes:
    """The body in chunks of random sizes, some with an extension, some with a trailer at the end."""
    out = b""
    while body:
        size = dice.randint(1, max(1, len(body)))
        out += b"%x%b\r\n%b\r\n" % (size, dice.choice((b"", b"", b";a=b")), body[:size])
        body = body[size:]
    return out + b"0\r\n" + dice.choice((b"", b"X-Trailer: 1\r\n")) + b"\r\n"


def framed(start: bytes, body: bytes, dice: random.Random) -> bytes:
    """A message with this body, by length or in chunks."""
    if dice.random() < 0.5:
        return start + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    return start + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(body, dice)


def body(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice((0, 1, 10, 1000, 5000, 70_000)))


async def in_pieces(client: RawClient, data: bytes, dice: random.Random) -> None:
    while data:
        size = dice.choice((1, 7, 100, 4096, 65_536, 1_000_000))
        await client.send(data[:size])
        data = data[size:]
        if dice.random() < 0.5:
            await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(12))
async def test_every_request_gets_its_own_answer(seed: int) -> None:
    dice, others = random.Random(seed), random.Random(-seed - 1)

    async def echo(peer: Peer) -> None:
        got = peer.requests[-1]
        start = b"HTTP/1.1 200 OK\r\nX-Target: %b\r\n" % got.target
        if got.method == b"HEAD":
            await peer.send(start + b"Content-Length: 7\r\n\r\n")
            return
        for _ in range(others.choice((0, 0, 1))):
            await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        kind = others.random()
        if kind < 0.1:
            await peer.send(start + b"\r\n" + got.body)
            peer.writer.close()
            return
        if kind < 0.2:
            start += b"Connection: close\r\n"
        await peer.send(framed(start, got.body, others))
        if kind < 0.2:
            peer.writer.close()

    sent: list[tuple[bytes, bytes, bytes]] = []
    data = b""
    for number in range(REQUESTS):
        method = dice.choice((b"GET", b"POST", b"PUT", b"HEAD"))
        content = body(dice) if method in (b"POST", b"PUT") else b""
        start = b"%b /%d HTTP/1.1\r\nHost: x\r\n" % (method, number)
        data += framed(start, content, dice) if content or method == b"POST" else start + b"\r\n"
        sent.append((method, b"/%d" % number, content))
    async with path([request(), echo], forever=True) as way, connect(way.running.address) as client:
        sending = asyncio.ensure_future(in_pieces(client, data, dice))
        got = [await client.response(method) for method, _, _ in sent]
        await sending
        assert [(r.status, r.header(b"x-target"), r.body) for r in got] == [(200, t, b) for _, t, b in sent]
        assert way.proxy.counters.reasons == {}
        assert way.backend.in_flight == 0
