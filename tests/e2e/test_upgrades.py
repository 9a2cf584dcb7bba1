"""Protocol upgrades: WebSocket through the proxy with a real library, and tunnels byte by byte.

Invariant: a tunnel exists only if the client asked for it, the route allows it and the backend agreed; and it ends
on both sides.
"""

from __future__ import annotations

import asyncio

import pytest
import websockets
from websockets.asyncio.server import ServerConnection, serve

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import Peer, close, end_of_input, expect, half_close, request, reset, response, until, wait
from tests.support.path import GET, Path, config, made, path, until_counted, until_true
from tests.support.running import Running, running

HEAD_END = b"\r\n\r\n"
ASK = b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n"
AGREE = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nX-Kept: 1\r\n\r\n"
ECHO = [request(), response(b"ok")]


async def echo(peer: Peer) -> None:
    while data := await peer.read():
        await peer.send(data)


async def opened(way: Path) -> None:
    await way.client.send(ASK)
    got = await way.client.response(upgrade=b"websocket")
    assert (got.status, got.header(b"upgrade")) == (101, b"websocket")


async def until_over(way: Path) -> None:
    """Both connections are gone, and nothing is in flight."""
    await until_true(lambda: not way.open and way.pool.size == 0)
    assert (way.proxy.counters.in_flight, way.backend.in_flight) == (0, 0)


# --- a real library ----------------------------------------------------------------------------------


async def talk(connection: ServerConnection) -> None:
    async for message in connection:
        if message == "close":
            await connection.close(4001, "as asked")
        else:
            await connection.send(message)


async def test_websocket_messages_both_ways() -> None:
    async with (
        serve(talk, "127.0.0.1", 0) as server,
        running(config(address(server))) as proxy,
        websockets.connect(url(proxy)) as client,
    ):
        await client.send("hello")
        assert await client.recv() == "hello"
        await client.send(b"\0" * 500_000)
        assert await client.recv() == b"\0" * 500_000
        await (await client.ping())


async def test_websocket_close_codes_both_ways() -> None:
    async with serve(talk, "127.0.0.1", 0) as server, running(config(address(server))) as proxy:
        async with websockets.connect(url(proxy)) as client:
            await client.send("close")
            with pytest.raises(websockets.ConnectionClosed):
                await client.recv()
            assert (client.close_code, client.close_reason) == (4001, "as asked")
        async with websockets.connect(url(proxy)) as client:
            await client.close(4002)
            assert client.close_code == 4002
        acceptor = proxy.proxy.acceptor
        await until_true(lambda: acceptor is not None and not acceptor.open)
        assert proxy.proxy.counters.in_flight == 0


async def test_many_websockets_at_a_time() -> None:
    async def one(proxy: Running, number: int) -> None:
        async with websockets.connect(url(proxy)) as client:
            for count in range(5):
                await client.send(f"{number}.{count}")
                assert await client.recv() == f"{number}.{count}"

    async with serve(talk, "127.0.0.1", 0) as server, running(config(address(server))) as proxy:
        await asyncio.gather(*(one(proxy, number) for number in range(20)))


def address(server: websockets.Server) -> str:
    return "{}:{}".format(*next(iter(server.sockets)).getsockname())


def url(proxy: Running) -> str:
    return proxy.url.replace("http:", "ws:") + "/chat"


# --- raw ---------------------------------------------------------------------------------------------


async def test_heads_of_an_upgrade() -> None:
    async with path([request(), AGREE, end_of_input]) as way:
        await way.client.send(ASK)
        got = await way.client.response(upgrade=b"websocket")
        assert (got.header(b"connection"), got.header(b"x-kept")) == (b"upgrade", b"1")
        seen = way.origin.requests[0]
        assert (seen.header(b"connection"), seen.header(b"upgrade")) == (b"upgrade", b"websocket")


@pytest.mark.parametrize("line", [b"Content-Length: 0", b"Transfer-Encoding: chunked"])
async def test_no_framing_on_a_101(line: bytes) -> None:
    agree = AGREE.replace(b"X-Kept: 1", line)
    async with path([until(HEAD_END), agree, echo]) as way:
        await way.client.send(ASK)
        head = (await way.client.read_until(HEAD_END)).lower()
        assert b"upgrade: websocket" in head
        assert b"content-length" not in head
        assert b"transfer-encoding" not in head
        await way.client.send(b"hello")
        assert await way.client.read_exactly(5) == b"hello"


async def test_bytes_both_ways() -> None:
    async with path([until(HEAD_END), AGREE, echo]) as way:
        await opened(way)
        for part in (b"\0", b"GET / HTTP/1.1\r\n\r\n", b"x" * 1_000_000):
            sending = asyncio.ensure_future(way.client.send(part))
            assert await way.client.read_exactly(len(part)) == part
            await sending


async def test_bytes_behind_both_heads() -> None:
    """Early bytes of the client wait for the backend's consent; those of the backend come with it."""
    async with path([until(HEAD_END), AGREE + b"server first", expect(b"client first"), b"both"]) as way:
        await way.client.send(ASK + b"client first")
        assert (await way.client.response(upgrade=b"websocket")).status == 101
        assert await way.client.read_exactly(16) == b"server firstboth"


async def test_the_client_ends_its_side() -> None:
    """A half-close goes through: the backend may still answer."""
    async with path([until(HEAD_END), AGREE, end_of_input, b"last words", close]) as way:
        await opened(way)
        await way.client.send(b"bye")
        way.client.half_close()
        assert await way.client.read_to_end() == b"last words"
        await until_over(way)


@pytest.mark.parametrize("early", [b"", b"first words"], ids=["nothing", "early bytes"])
async def test_the_client_ends_its_side_before_the_backend_agrees(early: bytes) -> None:
    """The backend learns of it as soon as there is a tunnel, behind the bytes that came before."""
    go = asyncio.Event()
    script = [until(HEAD_END), wait(go), AGREE, expect(early), end_of_input, b"last words", close]
    async with path(script, more="timeouts: {half_close: 10s}") as way:
        await way.client.send(ASK + early)
        way.client.half_close()
        await until_true(lambda: any(connection.eof for connection in way.open))
        go.set()
        assert (await way.client.response(upgrade=b"websocket")).status == 101
        assert await way.client.read_to_end() == b"last words"
        assert way.origin.peers[0].received.endswith(HEAD_END + early)
        await until_over(way)


async def test_the_backend_ends_its_side() -> None:
    async with path([until(HEAD_END), AGREE, b"last words", half_close, expect(b"understood")]) as way:
        await opened(way)
        assert await way.client.read_to_end() == b"last words"
        await way.client.send(b"understood")
        way.client.half_close()
        await until_over(way)


async def test_a_lot_before_the_backend_closes_arrives_whole() -> None:
    async with path([until(HEAD_END), AGREE, b"x" * 3_000_000, close], receive_buffer=8192) as way:
        await opened(way)
        assert len(await way.client.read_to_end()) == 3_000_000
        way.client.half_close()
        await until_over(way)


async def test_a_lot_before_the_client_closes_arrives_whole() -> None:
    async with path([until(HEAD_END), AGREE, end_of_input, b"thanks"]) as way:
        await opened(way)
        await way.client.send(b"x" * 3_000_000)
        way.client.half_close()
        assert await way.client.read_to_end() == b"thanks"
        assert len(way.origin.peers[0].received) > 3_000_000


async def test_the_client_disappears() -> None:
    async with path([until(HEAD_END), AGREE, end_of_input]) as way:
        await opened(way)
        way.client.reset()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_over(way)


async def test_the_backend_disappears() -> None:
    go = asyncio.Event()
    async with path([until(HEAD_END), AGREE, wait(go), reset]) as way:
        await opened(way)
        go.set()
        try:
            assert await way.client.read_to_end() == b""
        except ConnectionError:
            pass
        await until_over(way)


async def test_a_silent_tunnel_is_closed() -> None:
    async with path([until(HEAD_END), AGREE, end_of_input], route="timeouts: {tunnel_idle: 50ms}") as way:
        await opened(way)
        assert await way.client.read_to_end() == b""
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        await until_over(way)


@pytest.mark.parametrize("talker", ["client", "backend"])
async def test_a_tunnel_is_not_silent_if_one_side_talks(talker: str) -> None:
    """And neither the time for a response nor that for the whole request counts in it."""

    async def slowly(peer: Peer) -> None:
        if talker == "backend":
            for _ in range(20):
                await peer.send(b"x")
                await asyncio.sleep(0.1)

    more = "timeouts: {tunnel_idle: 1500ms, response_idle: 800ms, response_head: 800ms, request: 800ms}"
    async with path([until(HEAD_END), AGREE, slowly, expect(b"x" * 20), b"done"], more=more) as way:
        await opened(way)
        for _ in range(20):
            await way.client.send(b"x")
            if talker == "client":
                await asyncio.sleep(0.1)
        assert (await way.client.read_until(b"done")).endswith(b"done")


async def test_a_tunnel_half_closed_by_the_backend_is_closed_when_silent() -> None:
    async with path([until(HEAD_END), AGREE, half_close, end_of_input], route="timeouts: {tunnel_idle: 50ms}") as way:
        await opened(way)
        assert await way.client.read_to_end() == b""
        await until_over(way)


async def test_a_slow_reader_throttles_the_tunnel() -> None:
    sent = 0

    async def flood(peer: Peer) -> None:
        nonlocal sent
        for _ in range(1000):
            await peer.send(b"x" * 100_000)
            sent += 100_000

    async with path([until(HEAD_END), AGREE, flood], receive_buffer=4096) as way:
        await opened(way)
        await until_true(lambda: any(connection.write_paused for connection in way.open))
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 32_000_000
        way.client.reset()
        await until_over(way)


# --- no tunnel ---------------------------------------------------------------------------------------


async def test_an_answer_that_is_no_upgrade() -> None:
    """403, say: an ordinary response, after which the connection goes on."""
    async with path([request(), response(b"no", b"403 Forbidden"), *ECHO]) as way:
        got = await way.client.request(ASK)
        assert (got.status, got.body, got.header(b"connection")) == (403, b"no", None)
        assert (await way.client.request(GET)).body == b"ok"
        assert len(way.origin.peers) == 1


async def test_bytes_behind_a_refused_upgrade_are_the_next_request() -> None:
    async with path([request(), response(b"no", b"403 Forbidden"), *ECHO]) as way:
        await way.client.send(ASK + GET)
        assert [(await way.client.response()).status for _ in range(2)] == [403, 200]


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["plain", "not named", "no token", "h2c", "1.0"],
)
async def test_an_upgrade_that_was_not_asked_for(head: bytes) -> None:
    async with path([request(), AGREE, end_of_input]) as way:
        assert made(await way.client.request(head)) == (502, "relay.unasked_upgrade")
        assert [r.all(b"upgrade") + r.all(b"connection") for r in way.origin.requests] == [[]]
        await until_true(lambda: way.pool.size == 0)


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
        b"Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
        b"Connection: upgrade\r\nUpgrade: websocket2\r\n",
    ],
)
async def test_other_protocols_are_not_asked_for(lines: bytes) -> None:
    async with path(ECHO) as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % lines)
        assert got.body == b"ok"
        seen = way.origin.requests[0]
        assert seen.all(b"upgrade") + seen.all(b"connection") + seen.all(b"http2-settings") == []


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: websocket\r\nUpgrade: h2c\r\n",
        b"Upgrade: h2c\r\nUpgrade: websocket\r\n",
        b"Upgrade: websocket\r\nUpgrade: websocket\r\n",
    ],
)
async def test_two_upgrade_lines_are_no_upgrade(lines: bytes) -> None:
    """The route allows one; which of them the backend would take, nobody knows."""
    async with path(ECHO) as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n%b\r\n" % lines)
        assert got.body == b"ok"
        assert way.origin.requests[0].all(b"upgrade") + way.origin.requests[0].all(b"connection") == []


async def test_a_route_without_upgrades() -> None:
    async with path(ECHO, route="upgrades: []") as way:
        assert (await way.client.request(ASK)).body == b"ok"
        assert way.origin.requests[0].all(b"upgrade") == []


async def test_a_route_with_a_protocol_of_its_own() -> None:
    agree = AGREE.replace(b"websocket", b"my-protocol")
    async with path([until(HEAD_END), agree, echo], route="upgrades: [my-protocol]") as way:
        await way.client.send(ASK.replace(b"websocket", b"My-Protocol"))
        assert (await way.client.response(upgrade=b"my-protocol")).header(b"upgrade") == b"my-protocol"


async def test_a_backend_that_closes_instead_of_agreeing() -> None:
    async with path([until(HEAD_END), close]) as way, connect(way.running.address) as other:
        assert made(await other.request(ASK)) == (502, "send.reset")
        await until_counted(way.proxy, "send.reset")
