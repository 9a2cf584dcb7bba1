"""Clients that send garbage, or more than they may: each gets one clear answer, and the connection is closed.

The codec's own tests hold the long list of what is refused; here it is what becomes of the connection, of the
requests before and behind, and of the backend.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import end_of_input, request, response, until
from tests.support.path import CHUNKED_POST, GET, made, path, post, until_true
from tests.support.running import running

ECHO = [request(), response(b"ok")]
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"

GARBAGE = [
    (b"\0\1\2\3", 400, "accept.bad_method"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "accept.bad_method"),  # TLS on a plain port
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "accept.bad_version"),
    (b"GET / HTTP/3.0\r\n\r\n", 505, "accept.bad_version"),
    (b"GET /\r\n\r\n", 400, "accept.bad_request_line"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, "accept.bad_host"),
    (b"GET / HTTP/1.1\nHost: x\n\n", 400, "accept.bad_line_end"),
    (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "accept.bad_target"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400, "accept.bad_header_name"),
    (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "accept.length_and_coding"),
    (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 400, "accept.bad_content_length"),
    (HEAD + b"Content-Length: +3\r\n\r\nabc", 400, "accept.bad_content_length"),
    (HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n", 400, "accept.bad_transfer_encoding"),
    (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501, "accept.unknown_coding"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "accept.bad_chunk"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", 400, "accept.bad_chunk"),
    (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400, "accept.bad_trailer"),
]
IDS = [str(number) for number in range(len(GARBAGE))]


@pytest.mark.parametrize(("sent", "status", "reason"), GARBAGE, ids=IDS)
async def test_garbage(sent: bytes, status: int, reason: str) -> None:
    async with path(ECHO) as way:
        got = await way.client.request(sent)
        assert (made(got), got.header(b"connection")) == ((status, reason), b"close")
        assert await way.client.closed()
        assert way.origin.requests == []
        assert way.proxy.counters.in_flight == 0


@pytest.mark.parametrize(("sent", "status", "reason"), GARBAGE[2:], ids=IDS[2:])
async def test_garbage_byte_by_byte(sent: bytes, status: int, reason: str) -> None:
    async with path([until(b"\r\n\r\n"), end_of_input]) as way:
        answer = asyncio.ensure_future(way.client.response())
        for index in range(len(sent)):
            if not answer.done():
                await way.client.send(sent[index : index + 1])
                await asyncio.sleep(0)
        assert made(await answer) == (status, reason)
        assert await way.client.closed()


@pytest.mark.parametrize(("sent", "status", "reason"), GARBAGE, ids=IDS)
async def test_garbage_behind_a_good_request(sent: bytes, status: int, reason: str) -> None:
    """The good one is answered first, and what is behind the garbage is not read as a request."""
    async with path(ECHO, forever=True) as way:
        await way.client.send(GET + sent + GET)
        assert (await way.client.response()).body == b"ok"
        got = await way.client.response()
        assert made(got)[0] >= 400
        assert await way.client.closed()
        assert len(way.origin.requests) == 1


async def test_a_bad_chunk_behind_good_ones() -> None:
    """The backend has the beginning already: it sees the request break off, never its end."""
    async with path([until(b"abc\r\n"), end_of_input]) as way:
        await way.client.send(CHUNKED_POST + b"3\r\nabc\r\n")
        await until_true(lambda: way.origin.peers and way.origin.peers[0].received.endswith(b"abc\r\n"))
        await way.client.send(b"zz\r\n0\r\n\r\n" + GET)
        assert made(await way.client.response(b"POST")) == (400, "accept.bad_chunk")
        assert await way.client.closed()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()
        assert way.origin.peers[0].received.endswith(b"abc\r\n")
        await until_true(lambda: way.pool.size == 0)


async def test_a_refusal_reaches_a_client_that_goes_on_sending() -> None:
    """Closing with unread bytes would reset the connection, and the reset could overtake the answer."""
    async with path(ECHO) as way:
        await way.client.send(HEAD + b"Content-Length: nonsense\r\n\r\n" + b"x" * 200_000)
        assert made(await way.client.response(b"POST")) == (400, "accept.bad_content_length")
        await way.client.send(b"x" * 100_000)
        assert await way.client.closed()


async def test_behind_a_body_that_is_too_large_but_all_there_it_goes_on() -> None:
    async with path(ECHO, route="limits: {body_size: 5}") as way:
        await way.client.send(post(b"x" * 10) + GET)
        got = await way.client.response(b"POST")
        assert (made(got), got.header(b"connection")) == ((413, "admit.body_too_large"), None)
        assert (await way.client.response()).body == b"ok"


async def test_a_client_that_pipelines_without_reading_is_not_held_without_bound() -> None:
    """While a request is in flight the proxy holds what came behind it up to a limit, then stops reading."""
    async with path([request(), end_of_input], more="timeouts: {request: 1h}") as way:
        await way.client.send(GET)
        await until_true(lambda: way.origin.requests)
        (connection,) = way.open
        sending = asyncio.ensure_future(way.client.send(GET * 1_000_000))  # 27 MB
        await until_true(lambda: connection.read_paused)
        assert not sending.done()
        held = connection.held
        assert 65_536 < len(held) < 1_048_576
        way.client.writer.transport.abort()
        await asyncio.gather(sending, return_exceptions=True)


async def test_many_fixed_answers_to_a_client_that_does_not_read() -> None:
    yaml = "routes: [{respond: {body: '%s'}}]" % ("x" * 10_000)
    async with running(yaml) as proxy, connect(proxy.address, receive_buffer=4096) as client:
        sending = asyncio.ensure_future(client.send(GET * 100_000))
        acceptor = proxy.proxy.acceptor
        assert acceptor is not None
        await until_true(lambda: any(connection.write_paused for connection in acceptor.open))
        (connection,) = acceptor.open
        assert connection.transport.get_write_buffer_size() < 1_048_576
        client.writer.transport.abort()
        await asyncio.gather(sending, return_exceptions=True)
        await until_true(lambda: not acceptor.open)


async def test_an_empty_line_before_a_request_is_allowed() -> None:
    async with path(ECHO, forever=True) as way:
        assert (await way.client.request(b"\r\n" + GET)).status == 200
        assert (await way.client.request(b"\r\n" + GET)).status == 200
