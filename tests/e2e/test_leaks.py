"""Thousands of bad requests of every kind, many at a time, and then: is everything as it was before?

Counted are tasks, open files, connections on both sides, requests in flight, what the sweep watches, and memory.
Invariant: the origin and the clients of this test close all of their own, so that what is left is the proxy's.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest

from proxy.server.proxy import Proxy
from tests.support.client import RawClient, connect
from tests.support.origin import reset_on_close, response
from tests.support.path import until_true
from tests.support.running import Running, running

AT_A_TIME = 64
GROWTH = 4 * 1024 * 1024
"""Memory that may be gained by 10,000 bad requests after as many kinds were seen before: 420 bytes each."""
PAGE = os.sysconf("SC_PAGE_SIZE")

# --- backends ----------------------------------------------------------------------------------------

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
ANSWERS = {
    b"/ok": response(b"ok"),
    b"/close": b"",
    b"/reset": b"",
    b"/silent": b"",
    b"/part-of-head": OK + b"Content-Le",
    b"/half": OK + b"Content-Length: 100\r\n\r\nhalf",
    b"/half-chunk": CHUNKED + b"64\r\nhalf",
    b"/stalls": OK + b"Content-Length: 100\r\n\r\nhalf",
    b"/nonsense": b"220 mail.example ESMTP\r\n\r\n",
    b"/twice": response(b"one") * 2,
    b"/more": response(b"one") + b"more",
    b"/both": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"/bad-chunk": CHUNKED + b"zz\r\n",
    b"/bad-second-chunk": CHUNKED + b"1\r\na\r\nzz\r\n",
    b"/large-head": OK + b"X: " + b"x" * 40_000,
    b"/interims": b"HTTP/1.1 102 Processing\r\n\r\n" * 1000,
    b"/unasked": SWITCH,
    b"/switch": SWITCH,
    b"/long": OK + b"Content-Length: 10000000\r\n\r\n" + b"x" * 10_000_000,
}
CLOSING = (b"/close", b"/part-of-head", b"/half", b"/half-chunk")


async def misbehave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        target = b"/ok"
        while target == b"/ok":
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
            writer.write(ANSWERS[target])
            await writer.drain()
        if target == b"/reset":
            reset_on_close(writer)
        elif target not in CLOSING:
            while await reader.read(65536):
                pass
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


# --- clients -----------------------------------------------------------------------------------------

Kind: TypeAlias = Callable[[RawClient], Awaitable[None]]


def asks(data: bytes) -> Kind:
    """Sends this, and reads until the proxy closes."""

    async def kind(client: RawClient) -> None:
        await client.send(data)
        while await client.read():
            pass

    return kind


def leaves(data: bytes, after: bytes = b"") -> Kind:
    """Sends this, waits for some bytes, and resets."""

    async def kind(client: RawClient) -> None:
        await client.send(data)
        if after:
            await client.read_until(after)
        client.reset()

    return kind


def get(target: bytes, more: bytes = b"Connection: close\r\n") -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: x\r\n%b\r\n" % (target, more)


POST = b"POST /silent HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Connection: upgrade\r\nUpgrade: websocket\r\n"
KINDS: tuple[Kind, ...] = (
    *(asks(get(target)) for target in ANSWERS if target not in (b"/switch", b"/long")),
    asks(get(b"/refused")),
    asks(get(b"/nowhere")),
    asks(b"\x16\x03\x01\0\0\0"),
    asks(b"GET / HTTP/1.1\r\n\r\n"),
    asks(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000),
    asks(b"GET /" + b"x" * 40_000),
    asks(b"GET / HTTP/1.1\r\nHost: x\r\n"),  # and nothing more: slow
    asks(POST + b"Content-Length: 10\r\n\r\nhalf"),
    asks(POST + b"Content-Length: 100000000\r\n\r\n"),
    asks(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
    asks(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n"),
    asks(get(b"/ok", b"") * 3 + b"garbage\r\n\r\n"),
    leaves(b""),
    leaves(b"GET / HT"),
    leaves(get(b"/silent")),
    leaves(get(b"/ok") * 20),
    leaves(POST + b"Content-Length: 10\r\n\r\nhalf"),
    leaves(POST + b"Transfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    leaves(get(b"/stalls"), b"half"),
    leaves(get(b"/long"), b"xxx"),
    leaves(get(b"/switch", UPGRADE), b"\r\n\r\n"),
    leaves(get(b"/switch", UPGRADE) + b"early bytes", b"\r\n\r\n"),
)


async def one(address: tuple[str, int] | str, kind: Kind) -> None:
    async with connect(address) as client:
        try:
            await kind(client)
        except (ConnectionError, AssertionError):  # it was cut off while sending or waiting: that may be
            pass


async def many(address: tuple[str, int] | str, count: int) -> None:
    """`count` requests, the kinds in turn, `AT_A_TIME` of them at a time."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await one(address, KINDS[number % len(KINDS)])

    await asyncio.gather(*(worker() for _ in range(AT_A_TIME)))


# --- the count ---------------------------------------------------------------------------------------


class State(NamedTuple):
    tasks: dict[str, int]
    files: dict[str, int]
    clients: int
    addresses: int
    watched: int
    in_flight: int
    pools: list[tuple[int, int, int, int]]
    """Of each backend: connections, waiting requests, tasks that open one, requests in flight."""


def state(proxy: Proxy) -> State:
    assert proxy.acceptor is not None
    backends = [backend for group in proxy.plan.groups.values() for backend in group.members.all]
    return State(
        tasks=dict(Counter(getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks())),
        files=dict(Counter(map(kind_of_file, Path("/proc/self/fd").iterdir()))),
        clients=len(proxy.acceptor.open),
        addresses=len(proxy.acceptor.per_client),
        watched=len(proxy.sweep.watched),
        in_flight=proxy.counters.in_flight,
        pools=[(b.pool.size, len(b.pool.waiting), len(b.pool.tasks), b.in_flight) for b in backends],
    )


def kind_of_file(path: Path) -> str:
    try:
        return os.readlink(path).partition(":")[0]
    except FileNotFoundError:
        return "gone"


def memory() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@asynccontextmanager
async def bad_surroundings() -> AsyncIterator[Running]:
    """A proxy with short time-outs before a backend that misbehaves and one that is not there."""
    server = await asyncio.start_server(misbehave, "127.0.0.1", 0, backlog=1024)
    gone = await asyncio.start_server(misbehave, "127.0.0.1", 0)
    refused = "{}:{}".format(*gone.sockets[0].getsockname())
    gone.close()
    address = "{}:{}".format(*server.sockets[0].getsockname())
    yaml = f"""
timeouts: {{head: 200ms, body_idle: 200ms, keepalive: 200ms, response_head: 200ms, response_idle: 200ms,
  send_idle: 200ms, tunnel_idle: 200ms, half_close: 100ms}}
upstreams:
  bad: {{backends: ['{address}'], pool: {{idle: 200ms}}}}
  gone: {{backends: ['{refused}']}}
routes:
  - {{path: /, upstream: bad}}
  - {{path: /refused, upstream: gone}}
  - {{path: /nowhere, respond: {{status: 404}}}}
"""
    async with running(yaml) as proxy, server:
        yield proxy


async def leaves_nothing_behind(count: int) -> None:
    async with bad_surroundings() as proxy:
        before = state(proxy.proxy)
        await many(proxy.address, 10 * len(KINDS))  # what is kept for reuse is there from now on
        await until_true(lambda: state(proxy.proxy) == before)
        held = memory()
        await many(proxy.address, count)
        try:
            await until_true(lambda: state(proxy.proxy) == before)
        except TimeoutError:
            assert state(proxy.proxy) == before
        assert memory() - held < GROWTH
        counters = proxy.proxy.counters
        assert counters.requests >= count * 3 // 4
        assert "finish.internal" not in counters.reasons
        async with connect(proxy.address) as client:
            assert (await client.request(get(b"/ok"))).body == b"ok"


async def test_a_thousand_bad_requests_leave_nothing_behind() -> None:
    await leaves_nothing_behind(1000)


@pytest.mark.soak
async def test_ten_thousand_bad_requests_leave_nothing_behind() -> None:
    await leaves_nothing_behind(10_000)
