"""What a well-behaved client and backend see of each other: order, framing, and what is passed on unchanged.

Invariant: every expectation is in the bytes of one side; the proxy's inside is asked only about connections.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.support import PATIENCE
from tests.support.client import connect
from tests.support.origin import Origin, byte_by_byte, close, end_of_input, request, response, tell, until, wait
from tests.support.path import CHUNKED_POST, GET, GET_1_0, made, path, post
from tests.support.running import running

ECHO = [request(), response(b"ok")]
KEEP_1_0 = b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
OPEN_ENDED = b"HTTP/1.1 200 OK\r\n\r\nuntil the end"
IN_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"


# --- keep-alive and pipelining -----------------------------------------------------------------------


async def test_many_requests_on_one_connection() -> None:
    async with path(ECHO, forever=True) as way:
        for _ in range(20):
            assert (await way.client.request(GET)).body == b"ok"
        assert len(way.origin.peers) == 1
        assert way.proxy.counters.connections == 1


async def test_connection_close_is_honoured() -> None:
    async with path(ECHO, forever=True) as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (got.status, got.header(b"connection")) == (200, b"close")
        assert await way.client.closed()
        async with connect(way.running.address) as other:
            assert (await other.request(GET)).status == 200
        assert len(way.origin.peers) == 1  # that of the backend is kept all the same


async def test_pipelined_requests_are_answered_in_order() -> None:
    answers = [request(), response(b"one"), request(), response(b"two"), request(), response(b"three")]
    async with Origin(answers) as origin:
        yaml = f"""
upstreams: {{app: {{backends: ['{origin.address}']}}}}
routes:
  - {{path: /fixed, respond: {{body: fixed}}}}
  - {{path: /moved, redirect: {{to: "/new"}}}}
  - {{path: /app, upstream: app}}
"""
        async with running(yaml) as proxy, connect(proxy.address) as client:
            await client.send(
                b"GET /app HTTP/1.1\r\nHost: x\r\n\r\n"
                b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n"
                + post(b"body of two", b"/app")
                + b"GET /moved HTTP/1.1\r\nHost: x\r\n\r\n"
                b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
                b"POST /app HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
                b"HEAD /fixed HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            got = [await client.response() for _ in range(6)] + [await client.response(b"HEAD")]
    assert [(r.status, r.body) for r in got[:3]] == [(200, b"one"), (200, b"fixed"), (200, b"two")]
    assert [made(r) for r in got[3:5]] == [(308, "route.redirect"), (404, "route.no_route")]
    assert (got[5].body, got[6].body, got[6].header(b"content-length")) == (b"three", b"", b"5")
    assert [r.body for r in origin.requests] == [b"", b"body of two", b"abc"]


async def test_pipelined_requests_byte_by_byte() -> None:
    async with path(ECHO, forever=True) as way:
        sender = asyncio.ensure_future(way.client.send_byte_by_byte(GET + post(b"abc") + GET))
        got = [await way.client.response() for _ in range(3)]
        await sender
        assert [r.body for r in got] == [b"ok"] * 3
        assert [r.body for r in way.origin.requests] == [b"", b"abc", b""]


async def test_pipelined_behind_a_body_that_comes_in_parts() -> None:
    async with path(ECHO, forever=True) as way:
        head, _, body = post(b"x" * 100_000).partition(b"\r\n\r\n")
        await way.client.send(head + b"\r\n\r\n" + body[:50_000])
        await way.client.send(body[50_000:] + GET + CHUNKED_POST + b"1\r\na")
        await way.client.send(b"\r\n0\r\n\r\n" + GET)
        assert [(await way.client.response()).status for _ in range(4)] == [200] * 4
        assert [len(r.body) for r in way.origin.requests] == [100_000, 0, 1, 0]


# --- 1xx, Expect -------------------------------------------------------------------------------------

EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"


async def test_interim_responses_are_relayed() -> None:
    script = [request(), EARLY_HINTS, b"HTTP/1.1 100 Continue\r\n\r\n", EARLY_HINTS, response(b"ok")]
    async with path(script, forever=True) as way:
        for _ in range(2):
            got = await way.client.request(GET)
            assert [interim.status for interim in got.interim] == [103, 100, 103]
            assert got.interim[0].header(b"link") == b"</a.css>; rel=preload"
            assert got.body == b"ok"


async def test_interim_response_arrives_before_the_final_one() -> None:
    go = asyncio.Event()
    async with path([request(), EARLY_HINTS, wait(go), response(b"ok")]) as way:
        await way.client.send(GET)
        assert (await way.client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 103 ")
        go.set()
        assert (await way.client.response()).body == b"ok"


async def test_interim_byte_by_byte() -> None:
    async with path([request(), byte_by_byte(EARLY_HINTS + response(b"ok"))]) as way:
        got = await way.client.request(GET)
        assert ([interim.status for interim in got.interim], got.body) == ([103], b"ok")


async def test_no_interim_response_for_http_1_0() -> None:
    async with path([request(), EARLY_HINTS, response(b"ok")]) as way:
        await way.client.send(GET_1_0)
        assert (await way.client.read_to_end()).startswith(b"HTTP/1.1 200 ")


async def test_expect_continue_said_by_the_backend() -> None:
    async with path([request(answer_continue=True), response(b"ok")], forever=True) as way:
        for _ in range(2):
            await way.client.send(EXPECTING)
            assert (await way.client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            await way.client.send(b"body")
            assert (await way.client.response(b"POST")).body == b"ok"
        assert [r.body for r in way.origin.requests] == [b"body", b"body"]


async def test_expect_continue_refused_by_the_backend() -> None:
    """The client never sends its body, so neither connection can be used again."""
    script = [until(b"\r\n\r\n"), response(b"no", b"417 Expectation Failed"), end_of_input]
    async with path(script, ECHO) as way:
        got = await way.client.request(EXPECTING, b"POST")
        assert (got.status, got.body, got.header(b"connection")) == (417, b"no", b"close")
        assert await way.client.closed()
        async with asyncio.timeout(PATIENCE):
            await way.origin.peers[0].closed_by_peer.wait()


async def test_expect_continue_is_not_waited_for_when_the_body_is_there() -> None:
    async with path([request(), response(b"ok")]) as way:
        assert (await way.client.request(EXPECTING + b"body", b"POST")).body == b"ok"
        assert way.origin.requests[0].body == b"body"


async def test_too_large_body_is_refused_before_it_is_sent() -> None:
    async with path(ECHO, route="limits: {body_size: 3}") as way:
        got = await way.client.request(EXPECTING, b"POST")
        assert (made(got), got.interim) == ((413, "admit.body_too_large"), [])
        assert way.origin.peers == []


# --- where a response ends ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"GET", response(b"")),
    ],
)
async def test_responses_without_a_body(method: bytes, answer: bytes) -> None:
    async with path([request(), answer], forever=True) as way:
        for _ in range(2):
            got = await way.client.request(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n", method)
            assert (got.status, got.body) == (int(answer[9:12]), b"")
        assert len(way.origin.peers) == 1


async def test_head_keeps_the_length_that_get_would_have() -> None:
    async with path([request(), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]) as way:
        got = await way.client.request(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD")
        assert got.header(b"content-length") == b"5"


async def test_no_coding_on_a_204() -> None:
    async with path([request(), b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"]) as way:
        await way.client.send(GET)
        assert b"transfer-encoding" not in (await way.client.read_until(b"\r\n\r\n")).lower()


@pytest.mark.parametrize("line", [b"Content-Length: 0", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("status", [b"103 Early Hints", b"204 No Content"])
async def test_no_framing_where_there_is_no_body(status: bytes, line: bytes) -> None:
    """RFC 9110 8.6, RFC 9112 6.1: neither 1xx nor 204 may announce one, whatever the backend says."""
    odd = b"HTTP/1.1 %b\r\n%b\r\nX-Kept: 1\r\n\r\n" % (status, line)
    script = [request(), odd] if status.startswith(b"204") else [request(), odd, response(b"final")]
    async with path(script, forever=True) as way:
        for _ in range(2):
            await way.client.send(GET)
            head = (await way.client.read_until(b"\r\n\r\n")).lower()
            assert head == b"http/1.1 %b\r\nx-kept: 1\r\n\r\n" % status.lower()
            if not status.startswith(b"204"):
                assert (await way.client.response()).body == b"final"


async def test_304_keeps_the_length_that_200_would_have() -> None:
    async with path([request(), b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"], forever=True) as way:
        for _ in range(2):
            got = await way.client.request(GET)
            assert (got.status, got.header(b"content-length"), got.body) == (304, b"5", b"")


async def test_a_response_without_an_end_is_chunked_for_http_1_1() -> None:
    async with path([request(), OPEN_ENDED, b", and more", close]) as way:
        got = await way.client.request(GET)
        assert (got.header(b"transfer-encoding"), got.body) == (b"chunked", b"until the end, and more")
        assert got.header(b"connection") is None
        assert (await way.client.request(GET)).body == b"until the end, and more"
        assert len(way.origin.peers) == 2


async def test_a_response_without_an_end_closes_for_http_1_0() -> None:
    async with path([request(), OPEN_ENDED, close]) as way:
        await way.client.send(KEEP_1_0)
        whole = await way.client.read_to_end()
        assert whole.endswith(b"\r\n\r\nuntil the end")
        assert b"connection: close" in whole.lower()


@pytest.mark.parametrize("pieces", [[IN_CHUNKS], [byte_by_byte(IN_CHUNKS)]], ids=["whole", "byte by byte"])
async def test_chunks_are_taken_off_for_http_1_0(pieces: list[bytes]) -> None:
    async with path([request(), *pieces]) as way:
        await way.client.send(KEEP_1_0)
        head, _, body = (await way.client.read_to_end()).partition(b"\r\n\r\n")
        assert body == b"abcde"
        assert b"transfer-encoding" not in head.lower()


async def test_http_1_0_closes_unless_it_asks_to_keep() -> None:
    async with path(ECHO, forever=True) as way:
        got = await way.client.request(KEEP_1_0)
        assert (got.body, got.header(b"connection")) == (b"ok", b"keep-alive")
        got = await way.client.request(GET_1_0)
        assert got.body == b"ok"
        assert await way.client.closed()
        assert [r.http_version for r in way.origin.requests] == [b"1.1", b"1.1"]


async def test_an_http_1_0_backend() -> None:
    async with path([request(), b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", end_of_input]) as way:
        for _ in range(2):
            got = await way.client.request(GET)
            assert (got.body, got.http_version, got.header(b"connection")) == (b"ok", b"1.1", None)
        assert len(way.origin.peers) == 2


# --- trailers, streaming -----------------------------------------------------------------------------


async def test_trailers_both_ways() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    async with path([request(), answer], forever=True) as way:
        for _ in range(2):
            await way.client.send(CHUNKED_POST + b"3;ext=1\r\nabc\r\n0\r\nX-Check: 5\r\n\r\n")
            got = await way.client.response(b"POST")
            assert (got.body, got.trailers) == (b"ok", [(b"x-sum", b"7")])
        assert way.origin.requests[0].trailers == [(b"x-check", b"5")]
        assert way.origin.requests[1].body == b"abc"


async def test_trailers_byte_by_byte() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
    async with path([request(), byte_by_byte(answer)]) as way:
        await way.client.send_byte_by_byte(CHUNKED_POST + b"3\r\nabc\r\n0\r\nX-Check: 5\r\n\r\n")
        got = await way.client.response(b"POST")
        assert (got.body, got.trailers) == (b"ok", [(b"x-sum", b"7")])
        assert way.origin.requests[0].trailers == [(b"x-check", b"5")]


@pytest.mark.parametrize(
    ("head", "event", "end"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"data: %d\n\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"9\r\ndata: %d\n\n\r\n", b"0\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n", b"data: %d\n\n", b""),
    ],
    ids=["open ended", "chunked", "length"],
)
async def test_each_event_arrives_before_the_next_is_sent(head: bytes, event: bytes, end: bytes) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    script = [request(), head]
    for number, gate in enumerate(gates):
        script += [wait(gate), event % number]
    async with path([*script, end, close]) as way:
        await way.client.send(GET)
        await way.client.read_until(b"\r\n\r\n")
        for number, gate in enumerate(gates):
            gate.set()
            assert b"data: %d\n\n" % number in await way.client.read_until(b"\n\n")


async def test_each_part_of_an_upload_arrives_before_the_next_is_sent() -> None:
    came = [asyncio.Event() for _ in range(3)]
    script = [until(b"\r\n\r\n")]
    for number, event in enumerate(came):
        script += [until(b"part%d" % number), tell(event)]
    async with path([*script, response(b"ok"), end_of_input]) as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n")
        for number, event in enumerate(came):
            await way.client.send(b"part%d" % number)
            async with asyncio.timeout(PATIENCE):
                await event.wait()
        assert (await way.client.response(b"POST")).body == b"ok"


async def test_large_bodies_both_ways() -> None:
    up, down = b"u" * 3_000_000, b"d" * 5_000_000
    async with path([request(), response(down)], forever=True) as way:
        for _ in range(2):
            sending = asyncio.ensure_future(way.client.send(post(up)))
            assert (await way.client.response(b"POST")).body == down
            await sending
        assert [r.body == up for r in way.origin.requests] == [True, True]
        assert len(way.origin.peers) == 1


# --- early responses ---------------------------------------------------------------------------------


async def test_refusal_before_the_body_was_read() -> None:
    """The backend answers 413 and closes while the client is still sending: the client gets the answer."""
    script = [
        until(b"\r\n\r\n"),
        response(b"too much", b"413 Content Too Large", [b"Connection: close"]),
        close,
    ]
    async with path(script) as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 100)
        got = await way.client.response(b"POST")
        assert (got.status, got.body, got.header(b"connection")) == (413, b"too much", b"close")
        await way.client.send(b"x" * 100_000)  # no reset destroys what the client has not read yet
        assert await way.client.closed()


async def test_response_while_the_body_streams() -> None:
    """A backend that answers as it reads, as a transcoder would."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = [until(b"one"), head + b"3\r\nONE\r\n", until(b"two"), b"3\r\nTWO\r\n0\r\n\r\n", end_of_input]
    async with path(script) as way:
        await way.client.send(CHUNKED_POST + b"3\r\none\r\n")
        assert (await way.client.read_until(b"ONE\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await way.client.send(b"3\r\ntwo\r\n0\r\n\r\n")
        assert await way.client.read_until(b"0\r\n\r\n") == b"3\r\nTWO\r\n0\r\n\r\n"


# --- targets -----------------------------------------------------------------------------------------


async def test_absolute_form() -> None:
    async with path(ECHO) as way:
        await way.client.request(b"GET http://Other.example:8080/a%20b?c=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        seen = way.origin.requests[0]
        assert (seen.target, seen.header(b"host")) == (b"/a%20b?c=1", b"Other.example:8080")


@pytest.mark.parametrize("target", [b"*", b"http://x"])
async def test_options_on_the_whole_server(target: bytes) -> None:
    async with path(ECHO) as way:
        got = await way.client.request(b"OPTIONS %b HTTP/1.1\r\nHost: x\r\n\r\n" % target, b"OPTIONS")
        assert got.body == b"ok"
        assert [(r.method, r.target) for r in way.origin.requests] == [(b"OPTIONS", b"*")]


@pytest.mark.parametrize("line", [b"CONNECT x:443", b"TRACE /"])
async def test_connect_and_trace_are_refused(line: bytes) -> None:
    async with path(ECHO) as way:
        got = await way.client.request(line + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert made(got) == (405, "accept.method_refused")
        assert b"GET" in (got.header(b"allow") or b"")
        assert await way.client.closed()
        assert way.origin.peers == []
