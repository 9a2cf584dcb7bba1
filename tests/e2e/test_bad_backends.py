"""Backends that refuse, hang, reset, answer half, or answer nonsense.

Invariant: the client gets one clear answer or sees that its answer is incomplete, and whatever such a backend sent,
the next client on that pool never sees a byte of it.
"""

from __future__ import annotations

import asyncio
import socket

import h11
import pytest

from tests.support import PATIENCE
from tests.support.client import RawClient, connect
from tests.support.origin import Origin, Step, byte_by_byte, close, end_of_input, request, reset, response, wait
from tests.support.path import GET, GET_1_0, Path, config, made, path, post, until_counted, until_true
from tests.support.running import running

ECHO = [request(), response(b"clean")] * 5
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


async def the_next_client_is_served(way: Path) -> None:
    async with connect(way.running.address) as other:
        assert (await other.request(GET)).body == b"clean"


# --- no connection -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [GET, post(b"x")], ids=["GET", "POST"])
async def test_a_backend_that_refuses(sent: bytes) -> None:
    async with Origin() as gone:
        address = gone.address
    async with running(config(address)) as proxy, connect(proxy.address) as client:
        for _ in range(3):
            assert made(await client.request(sent)) == (502, "connect.refused")


async def test_a_unix_socket_that_is_not_there(tmp_path: object) -> None:
    async with running(config(f"unix:{tmp_path}/none.sock")) as proxy, connect(proxy.address) as client:
        assert made(await client.request(GET)) == (502, "connect.refused")


async def test_a_name_that_does_not_resolve() -> None:
    async with running(config("nobody.invalid:80")) as proxy, connect(proxy.address) as client:
        assert made(await client.request(GET)) == (502, "connect.dns")


async def test_a_backend_that_never_accepts() -> None:
    """Its backlog is full, so the kernel lets the connection attempt hang."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        yaml = config(f"127.0.0.1:{full.getsockname()[1]}", more="timeouts: {connect: 200ms}")
        async with running(yaml) as proxy, connect(proxy.address) as client:
            assert made(await client.request(GET))[1] in ("connect.timeout", "connect.pool_timeout")
            assert proxy.proxy.counters.in_flight == 0


async def test_a_backend_that_comes_back() -> None:
    async with Origin() as gone:
        port = int(gone.address.rpartition(":")[2])
    async with running(config(f"127.0.0.1:{port}")) as proxy, connect(proxy.address) as client:
        assert made(await client.request(GET)) == (502, "connect.refused")
        server = await asyncio.start_server(serve_one, "127.0.0.1", port)
        async with server:
            assert (await client.request(GET)).body == b"back"


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(response(b"back", headers=[b"Connection: close"]))
    writer.close()


# --- no answer, or half of one -----------------------------------------------------------------------


@pytest.mark.parametrize("ending", [close, reset], ids=["close", "reset"])
@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "send.reset"),
        (b"H", "relay.incomplete"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "relay.incomplete"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n", "relay.incomplete"),
    ],
)
async def test_closing_before_the_head_is_complete(ending: Step, sent: bytes, reason: str) -> None:
    async with path([request(), sent, ending], ECHO) as way:
        got = await way.client.request(GET)
        if ending is reset:  # a reset may destroy what was sent before it
            assert made(got) in ((502, reason), (502, "send.reset"))
        else:
            assert made(got) == (502, reason)
        await the_next_client_is_served(way)
        assert way.backend.in_flight == 0


async def test_closing_after_an_interim_response() -> None:
    async with path([request(), b"HTTP/1.1 103 Early Hints\r\n\r\n", close], ECHO) as way:
        got = await way.client.request(GET)
        assert [interim.status for interim in got.interim] == [103]
        assert got.status == 502
        await the_next_client_is_served(way)


PARTIAL = [
    OK + b"Content-Length: 10\r\n\r\nhalf",
    CHUNKED + b"a\r\nhalf",
    CHUNKED + b"4\r\nhalf\r\n",
    CHUNKED + b"4\r\nhalf\r\n0\r\n",
    CHUNKED + b"4\r\nhalf\r\n0\r\nX-T: 1\r\n",
]


@pytest.mark.parametrize("ending", [close, reset], ids=["close", "reset"])
@pytest.mark.parametrize("sent", PARTIAL)
async def test_closing_in_the_middle_of_the_body(sent: bytes, ending: Step) -> None:
    """The client must see that something is missing, never a clean end."""
    go = asyncio.Event()
    async with path([request(), sent, wait(go), ending], ECHO) as way:
        await way.client.send(GET)
        whole = await way.client.read_until(b"half")
        go.set()
        assert not is_complete(whole + await until_gone(way.client))
        await until_counted(way.proxy, "relay.incomplete")
        await the_next_client_is_served(way)


async def test_a_reset_is_no_end_of_an_open_ended_response() -> None:
    go = asyncio.Event()
    async with path([request(), OK + b"\r\nhalf", wait(go), reset], ECHO) as way:
        await way.client.send(GET)
        whole = await way.client.read_until(b"half")
        go.set()
        assert not is_complete(whole + await until_gone(way.client))
        await until_counted(way.proxy, "relay.incomplete")


@pytest.mark.parametrize("sent", PARTIAL[1:])
async def test_chunks_that_break_off_before_an_http_1_0_client(sent: bytes) -> None:
    """It knows the end of the body by the end of the connection, so only a reset tells that this is not it."""
    go = asyncio.Event()
    async with path([request(), sent, wait(go), close]) as way:
        await way.client.send(GET_1_0)
        await way.client.read_until(b"half")
        go.set()
        with pytest.raises(ConnectionResetError):
            await way.client.read_to_end()


async def until_gone(client: RawClient) -> bytes:
    """What still comes before the proxy closes or resets."""
    data = b""
    try:
        while some := await client.read():
            data += some
    except ConnectionError:
        pass
    return data


def is_complete(data: bytes) -> bool:
    """Whether h11 takes the bytes, with the end of the connection behind them, for a whole response."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    try:
        while (event := connection.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.EndOfMessage):
                return True
    except h11.RemoteProtocolError:
        return False
    return False


# --- nonsense ----------------------------------------------------------------------------------------

NONSENSE = [
    (b"hello\r\n\r\n", "relay.bad_status_line"),
    (b"\0\1\2\3\r\n\r\n", "relay.bad_status_line"),
    (b"HTTP/2 200 OK\r\n\r\n", "relay.bad_status_line"),
    (b"HTTP/1.1 20 OK\r\n\r\n", "relay.bad_status_line"),
    (b"HTTP/1.1 2000 OK\r\n\r\n", "relay.bad_status_line"),
    (b"HTTP/1.1 099 OK\r\n\r\n", "relay.bad_status_line"),
    (OK + b"No colon\r\n\r\n", "relay.bad_header"),
    (OK + b"Bad : space\r\n\r\n", "relay.bad_header"),
    (OK + b"A: b\r\n folded\r\n\r\n", "relay.bad_header"),
    (OK + b"A: \0\r\n\r\n", "relay.bad_header"),
    (OK + b"A: b\n\r\n", "relay.bad_header"),
    (OK + b"Content-Length: x\r\n\r\n", "relay.bad_content_length"),
    (OK + b"Content-Length: -1\r\n\r\n", "relay.bad_content_length"),
    (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "relay.bad_content_length"),
    (OK + b"Content-Length: 1, 2\r\n\r\nab", "relay.bad_content_length"),
    (OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "relay.length_and_coding"),
    (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "relay.bad_transfer_encoding"),
    (OK + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "relay.bad_transfer_encoding"),
    (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "relay.bad_transfer_encoding"),
    (CHUNKED + b"zz\r\n", "relay.bad_chunk"),
    (OK + b"X: " + b"x" * 40_000 + b"\r\n\r\n", "relay.head_too_large"),
    (OK + b"X: " + b"x" * 40_000, "relay.head_too_large"),
    (OK + b"X: y\r\n" * 101 + b"\r\n", "relay.head_too_large"),
    (b"x" * 40_000, "relay.bad_status_line"),
]


@pytest.mark.parametrize(("sent", "reason"), NONSENSE, ids=[str(n) for n in range(len(NONSENSE))])
async def test_nonsense_is_a_502_and_closes_that_connection(sent: bytes, reason: str) -> None:
    async with path([request(), sent, end_of_input], ECHO) as way:
        assert made(await way.client.request(GET)) == (502, reason)
        assert (await way.client.request(GET)).body == b"clean"
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        assert (way.pool.size, way.backend.in_flight) == (1, 0)


@pytest.mark.parametrize(("sent", "reason"), NONSENSE[:19], ids=[str(n) for n in range(19)])
async def test_nonsense_byte_by_byte(sent: bytes, reason: str) -> None:
    async with path([request(), byte_by_byte(sent), end_of_input], ECHO) as way:
        assert made(await way.client.request(GET)) == (502, reason)
        assert (await way.client.request(GET)).body == b"clean"


async def test_the_limits_on_heads_hold_for_backends_too() -> None:
    sent = OK + b"X: " + b"x" * 2000 + b"\r\nContent-Length: 0\r\n\r\n"
    async with path([request(), sent], forever=True, more="limits: {head_size: 1KiB}") as way:
        assert made(await way.client.request(GET)) == (502, "relay.head_too_large")


async def test_a_bad_chunk_in_the_middle() -> None:
    """The head is out already: the response breaks off visibly."""
    go = asyncio.Event()
    async with path([request(), CHUNKED + b"4\r\nhalf\r\n", wait(go), b"zz\r\n", end_of_input], ECHO) as way:
        await way.client.send(GET)
        whole = await way.client.read_until(b"half")
        go.set()
        assert not is_complete(whole + await until_gone(way.client))
        await until_counted(way.proxy, "relay.bad_chunk")
        await the_next_client_is_served(way)


# --- more than was asked for -------------------------------------------------------------------------

SMUGGLED = response(b"smuggled")


@pytest.mark.parametrize(
    "answer",
    [
        response(b"mine") + SMUGGLED,
        response(b"mine") + b"\r\n",
        CHUNKED + b"4\r\nmine\r\n0\r\n\r\n" + SMUGGLED,
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine and more",
    ],
)
@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "byte by byte"])
async def test_what_comes_behind_a_response_reaches_nobody(answer: bytes, pieces: bool) -> None:
    script = [request(), byte_by_byte(answer) if pieces else answer, end_of_input]
    async with path(script, ECHO) as way:
        assert (await way.client.request(GET)).body == b"mine"
        await until_true(lambda: way.pool.size == 0)
        assert (await way.client.request(GET)).body == b"clean"
        await the_next_client_is_served(way)


async def test_a_response_that_nobody_asked_for() -> None:
    """It arrives while the connection is idle."""
    go = asyncio.Event()
    async with path([request(), response(b"mine"), wait(go), SMUGGLED, end_of_input], ECHO) as way:
        assert (await way.client.request(GET)).body == b"mine"
        go.set()
        await until_true(lambda: way.pool.size == 0)
        await the_next_client_is_served(way)


async def test_a_response_before_the_first_request() -> None:
    """The backend speaks first on each connection, as an SMTP server would."""
    async with path([SMUGGLED, end_of_input], upstream="pool: {min: 1}") as way:
        await until_true(lambda: len(way.origin.peers) >= 2)
        assert way.pool.idle == []


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"])
async def test_a_body_where_none_is_allowed(answer: bytes) -> None:
    async with path([request(), answer + SMUGGLED, end_of_input], ECHO) as way:
        assert (await way.client.request(GET)).body == b""
        await the_next_client_is_served(way)


async def test_a_body_in_the_answer_to_head() -> None:
    async with path([request(), SMUGGLED, end_of_input], ECHO) as way:
        got = await way.client.request(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD")
        assert (got.status, got.header(b"content-length")) == (200, b"8")
        assert (await way.client.request(GET)).body == b"clean"


async def test_a_thousand_interim_responses() -> None:
    async with path([request(), b"HTTP/1.1 102 Processing\r\n\r\n" * 1000, end_of_input], ECHO) as way:
        got = await way.client.request(GET)
        assert made(got) == (502, "relay.too_many_interim")
        assert len(got.interim) <= 16
        await the_next_client_is_served(way)


async def test_bytes_behind_an_unasked_upgrade() -> None:
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + SMUGGLED
    async with path([request(), answer, end_of_input], ECHO) as way:
        assert made(await way.client.request(GET)) == (502, "relay.unasked_upgrade")
        await the_next_client_is_served(way)
