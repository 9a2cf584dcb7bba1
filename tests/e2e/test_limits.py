"""Every limit of the configuration: what is just allowed passes, one more is refused with its reason.

Invariant: a refusal closes the connection wherever the rest of the request could be taken for another one.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack

import pytest

from proxy.downstream.acceptor import MOST_REFUSALS
from tests.support.client import RawClient, Response, connect
from tests.support.origin import end_of_input, request, response, until
from tests.support.path import CHUNKED_POST, GET, Path, made, path, post, until_true
from tests.support.running import running

ECHO = [request(), response(b"ok")]


def sized(size: int) -> bytes:
    """A request head of exactly so many bytes."""
    start = b"GET / HTTP/1.1\r\nHost: x\r\nX-Fill: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"


async def send(client: RawClient, data: bytes, whole: bool) -> Response:
    if whole:
        return await client.request(data)
    middle = len(data) // 2
    await client.send(data[:middle])
    await client.send(data[middle:])
    return await client.response()


async def is_refused(way: Path, got: Response, status: int, reason: str) -> None:
    assert (made(got), got.header(b"connection")) == ((status, reason), b"close")
    assert await way.client.closed()
    assert way.origin.requests == []


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in two pieces"])
async def test_head_size(whole: bool) -> None:
    more = "limits: {head_size: 2KiB}"
    async with path(ECHO, more=more) as way:
        assert (await send(way.client, sized(2048), whole)).status == 200
    async with path(ECHO, more=more) as way:
        await is_refused(way, await send(way.client, sized(2049), whole), 431, "accept.head_too_large")


async def test_head_size_may_be_raised() -> None:
    async with path(ECHO, more="limits: {head_size: 128KiB}") as way:
        assert (await way.client.request(sized(100_000))).status == 200
        assert len(way.origin.requests[0].header(b"x-fill") or b"") > 99_000


async def test_a_head_without_an_end_is_refused_once_it_is_too_large() -> None:
    async with path(ECHO, more="limits: {head_size: 2KiB}") as way:
        await way.client.send(sized(5000)[:-4])
        await is_refused(way, await way.client.response(), 431, "accept.head_too_large")


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in two pieces"])
async def test_target_size(whole: bool) -> None:
    more = "limits: {target_size: 100}"
    async with path(ECHO, more=more) as way:
        sent = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 99)
        assert (await send(way.client, sent, whole)).status == 200
    async with path(ECHO, more=more) as way:
        sent = b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 100)
        await is_refused(way, await send(way.client, sent, whole), 414, "accept.target_too_long")


async def test_target_size_may_be_raised() -> None:
    async with path(ECHO, more="limits: {target_size: 20KiB}") as way:
        got = await way.client.request(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 15_000))
        assert got.status == 200


async def test_a_target_without_an_end() -> None:
    async with path(ECHO, more="limits: {head_size: 2KiB, target_size: 1KiB}") as way:
        await way.client.send(b"GET /" + b"a" * 3000)
        await is_refused(way, await way.client.response(), 414, "accept.target_too_long")


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in two pieces"])
async def test_header_count(whole: bool) -> None:
    more = "limits: {header_count: 5}"
    async with path(ECHO, more=more) as way:
        sent = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 4 + b"\r\n"
        assert (await send(way.client, sent, whole)).status == 200
    async with path(ECHO, more=more) as way:
        sent = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5 + b"\r\n"
        await is_refused(way, await send(way.client, sent, whole), 431, "accept.too_many_headers")


async def test_header_count_may_be_raised() -> None:
    async with path(ECHO, more="limits: {header_count: 200}") as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 150 + b"\r\n")
        assert got.status == 200


@pytest.mark.parametrize("ending", [b"", b":8080"], ids=["name", "with port"])
async def test_host_size(ending: bytes) -> None:
    """No DNS name is longer than 255 bytes."""
    async with path(ECHO) as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"a." * 127 + b"a" + ending))
        assert got.status == 200
    async with path(ECHO) as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % (b"a." * 127 + b"aa" + ending))
        await is_refused(way, got, 400, "accept.bad_host")


async def test_a_host_of_many_labels_meets_wildcard_routes() -> None:
    async with path(ECHO, route="host: '*.example.com'") as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: %ba\r\n\r\n" % (b"a." * 15_000))
        await is_refused(way, got, 400, "accept.bad_host")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (b"," * 32_000, b"application/json"),
        (b";" * 32_000, b"application/json"),
        (b"*/*," * 8000, b"application/json"),
        (b"text/html" + b",a/b" * 7500, b"text/html; charset=utf-8"),
    ],
    ids=["commas", "semicolons", "anything", "html first"],
)
async def test_a_large_accept(accept: bytes, kind: bytes) -> None:
    async with path(ECHO, route="host: other") as way:
        got = await way.client.request(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: %b\r\n\r\n" % accept)
        assert (made(got), got.header(b"content-type")) == ((404, "route.no_route"), kind)
        if kind == b"application/json":
            assert json.loads(got.body)["status"] == 404


# --- bodies ------------------------------------------------------------------------------------------

BODY_LIMITS = [{"more": "limits: {body_size: 10}"}, {"route": "limits: {body_size: 10}"}]


@pytest.mark.parametrize("settings", BODY_LIMITS, ids=["global", "route"])
async def test_body_size(settings: dict[str, str]) -> None:
    async with path(ECHO, **settings) as way:  # type: ignore[arg-type]
        assert (await way.client.request(post(b"x" * 10), b"POST")).status == 200
    async with path(ECHO, **settings) as way:  # type: ignore[arg-type]
        got = await way.client.request(post(b"x" * 11), b"POST")
        assert made(got) == (413, "admit.body_too_large")
        assert way.origin.requests == []


async def test_body_size_of_chunks() -> None:
    async with path(ECHO, more="limits: {body_size: 10}") as way:
        sent = CHUNKED_POST + b"5\r\nxxxxx\r\n5\r\nxxxxx\r\n0\r\n\r\n"
        assert (await way.client.request(sent, b"POST")).status == 200
    async with path(ECHO, more="limits: {body_size: 10}") as way:
        sent = CHUNKED_POST + b"5\r\nxxxxx\r\n6\r\nxxxxxx\r\n0\r\n\r\n"
        assert made(await way.client.request(sent, b"POST")) == (413, "admit.body_too_large")
        assert way.origin.requests == []


async def test_body_size_of_chunks_that_come_one_by_one() -> None:
    """The backend has the beginning already: it sees the request break off, never a complete one."""
    async with path([until(b"5\r\nxxxxx\r\n"), end_of_input], more="limits: {body_size: 10}") as way:
        await way.client.send(CHUNKED_POST + b"5\r\nxxxxx\r\n")
        await until_true(lambda: way.origin.peers and way.origin.peers[0].received.endswith(b"xxxxx\r\n"))
        await way.client.send(b"6\r\nxxxxxx\r\n0\r\n\r\n")
        assert made(await way.client.response(b"POST")) == (413, "admit.body_too_large")
        await way.origin.peers[0].closed_by_peer.wait()
        assert b"xxxxxx\r\n0" not in way.origin.peers[0].received


# --- connections -------------------------------------------------------------------------------------


async def fills_up(way: Path, most: int, expected: tuple[int, str]) -> None:
    """Opens connections up to the limit, the client's own among them; one more is refused until one is closed."""
    async with AsyncExitStack() as stack:
        several = [await stack.enter_async_context(connect(way.running.address)) for _ in range(most - 1)]
        for client in (way.client, *several):
            assert (await client.request(GET)).status == 200
        async with connect(way.running.address) as refused:
            got = await refused.response()
            assert (made(got), got.header(b"connection")) == (expected, b"close")
            assert got.header(b"retry-after") is not None
            assert await refused.closed()
        several[0].writer.close()
        await until_true(lambda: len(way.open) == most - 1)
        async with connect(way.running.address) as welcome:
            assert (await welcome.request(GET)).status == 200


async def test_connections() -> None:
    async with path(ECHO, forever=True, more="limits: {connections: 4}") as way:
        await fills_up(way, 4, (503, "accept.too_many_connections"))


async def test_connections_per_client() -> None:
    async with path(ECHO, forever=True, more="limits: {connections_per_client: 3}") as way:
        await fills_up(way, 3, (429, "accept.too_many_from_client"))


@pytest.mark.parametrize(
    ("limit", "status"), [("connections", 503), ("connections_per_client", 429)], ids=["in all", "per client"]
)
async def test_refusing_does_not_go_beyond_the_limit(limit: str, status: int) -> None:
    """A refused connection lingers; so only some are told, and the others are cut off without a word."""
    most = 2 + MOST_REFUSALS
    async with path(ECHO, forever=True, more=f"limits: {{{limit}: 2}}") as way, AsyncExitStack() as stack:
        assert (await way.client.request(GET)).status == 200
        welcome, *refused = [await stack.enter_async_context(connect(way.running.address)) for _ in range(most + 50)]
        answers = [await said(client) for client in refused]
        assert answers == [b"%d" % status] * MOST_REFUSALS + [b""] * 51
        assert len(way.open) <= most
        assert [(await client.request(GET)).status for client in (way.client, welcome)] == [200, 200]


async def said(client: RawClient) -> bytes:
    """The status that a client is told without asking; nothing if it is cut off."""
    try:
        return (await client.read_to_end())[9:12]
    except ConnectionError:
        return b""


async def test_requests_per_connection() -> None:
    async with path(ECHO, forever=True, more="limits: {requests_per_connection: 3}") as way:
        got = [await way.client.request(GET) for _ in range(3)]
        assert [r.header(b"connection") for r in got] == [None, None, b"close"]
        assert await way.client.closed()


async def test_requests_per_connection_when_pipelined() -> None:
    async with path(ECHO, forever=True, more="limits: {requests_per_connection: 3}") as way:
        await way.client.send(GET * 5)
        got = [await way.client.response() for _ in range(3)]
        assert [r.header(b"connection") for r in got] == [None, None, b"close"]
        assert await way.client.closed()
        assert len(way.origin.requests) == 3


LARGE = b"x" * 20_000
PADDED = b"GET / HTTP/1.1\r\nHost: x\r\nX-Pad: %b\r\n\r\n" % (b"p" * 1000)


async def are_answered(client: RawClient, count: int) -> None:
    """Of 2 MB of pipelined requests so many are answered, and nothing of the answers is lost to a reset."""
    await client.send(PADDED * 2000)
    got = [await client.response() for _ in range(count)]
    assert {(r.status, r.body) for r in got} == {(200, LARGE)}
    assert [r.header(b"connection") for r in got] == [None] * (count - 1) + [b"close"]
    assert await client.read_to_end() == b""


async def test_no_forwarded_response_is_lost_when_a_pipelining_client_meets_the_limit() -> None:
    script = [request(), response(LARGE)]
    async with path(script, forever=True, more="limits: {requests_per_connection: 20}") as way:
        await are_answered(way.client, 20)
        assert len(way.origin.requests) == 20


async def test_no_response_of_the_proxy_is_lost_when_a_pipelining_client_meets_the_limit() -> None:
    yaml = f"routes: [{{respond: {{body: {LARGE.decode()}}}}}]\nlimits: {{requests_per_connection: 20}}\n"
    async with running(yaml) as proxy, connect(proxy.address) as client:
        await are_answered(client, 20)
