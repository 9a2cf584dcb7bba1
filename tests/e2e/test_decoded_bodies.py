"""A stage that asks for decoded bodies: it sees payload and trailers, and the client a whole response all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.exchange import Exchange, ResponseStage, Stage
from tests.support.exchanges import exchange
from tests.support.origin import byte_by_byte, close, request, response
from tests.support.path import GET, GET_1_0, Path, path

HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
KEEP_1_0 = b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = CHUNKED_HEAD + b"2;ext=1\r\nab\r\n3\r\ncde\r\n0\r\nX-Sum: 7\r\nX-More: 8\r\n\r\n"
RAW = CHUNKED.partition(b"\r\n\r\n")[2].replace(b";ext=1", b"")
"""As it passes undecoded; extensions end at this hop (RFC 9112 7.1.1)."""
EMPTY = CHUNKED_HEAD + b"0\r\n\r\n"
EMPTY_WITH_TRAILER = CHUNKED_HEAD + b"0\r\nX-Sum: 7\r\n\r\n"
LARGE = CHUNKED_HEAD + b"9c40\r\n" + b"z" * 40000 + b"\r\n0\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\nETag: x\r\n\r\n"
OPEN_ENDED = b"HTTP/1.1 200 OK\r\n\r\nabcde"
Seen = list[Any]


class AskForDecoded(Stage):
    """As a cache would."""

    def enter(self, x: Exchange) -> None:
        x.decode_body = True
        self.next.enter(x)


class Watch(ResponseStage):
    """What passes on the way back."""

    def __init__(self, following: ResponseStage, seen: Seen) -> None:
        super().__init__(following)
        self.seen = seen

    def head(self, x: Exchange, head: Any, body_end: int, complete: bool) -> None:
        self.seen.append(head.data[head.end : body_end])
        self.next.head(x, head, body_end, complete)

    def data(self, x: Exchange, data: Any) -> None:
        self.seen.append(bytes(data))
        self.next.data(x, data)

    def end(self, x: Exchange, trailers: tuple[tuple[bytes, bytes], ...]) -> None:
        self.seen.append(trailers)
        self.next.end(x, trailers)


@asynccontextmanager
async def watched(
    *script: Any, decoded: bool = True, route: str = "", scripts: Sequence[Any] = ()
) -> AsyncIterator[tuple[Path, Seen]]:
    """A path whose only route asks for `decoded` bodies, and what passes on its way back."""
    async with path(*(scripts or [script]), forever=True, route=route) as way:
        plan = way.proxy.plan.routes.find(exchange().head)
        seen: Seen = []
        plan.back = Watch(plan.back, seen)
        if decoded:
            plan.first = AskForDecoded(plan.first)
        yield way, seen


def payload(seen: Seen) -> bytes:
    return b"".join(each for each in seen if isinstance(each, bytes))


@pytest.mark.parametrize("pieces", [CHUNKED, byte_by_byte(CHUNKED)], ids=["whole", "byte by byte"])
async def test_chunks_and_trailers(pieces: Any) -> None:
    async with watched(request(), pieces) as (way, seen):
        for _ in range(2):
            seen.clear()
            got = await way.client.request(GET)
            assert (got.body, got.trailers) == (b"abcde", [(b"x-sum", b"7"), (b"x-more", b"8")])
            assert got.header(b"transfer-encoding") == b"chunked"
            assert (payload(seen), seen[-1]) == (b"abcde", ((b"X-Sum", b"7"), (b"X-More", b"8")))
        assert len(way.origin.peers) == 1
        assert len(way.pool.idle) == 1


@pytest.mark.parametrize("pieces", [CHUNKED, byte_by_byte(CHUNKED)], ids=["whole", "byte by byte"])
async def test_without_it_all_passes_as_it_came(pieces: Any) -> None:
    async with watched(request(), pieces, decoded=False) as (way, seen):
        for _ in range(2):
            seen.clear()
            got = await way.client.request(GET)
            assert (got.body, got.trailers) == (b"abcde", [(b"x-sum", b"7"), (b"x-more", b"8")])
            assert payload(seen) == RAW
            assert all(each == () for each in seen if isinstance(each, tuple))


async def test_trailers_are_not_left_to_the_next_response() -> None:
    """Which comes on the same connection to the backend."""
    length = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnone"
    async with watched(request(), byte_by_byte(CHUNKED), request(), byte_by_byte(length)) as (way, seen):
        assert len((await way.client.request(GET)).trailers) == 2
        assert (await way.client.request(GET)).body == b"none"
        assert seen[-1] == ()
        assert len(way.origin.peers) == 1


@pytest.mark.parametrize(
    ("answer", "body", "trailers"),
    [
        (EMPTY, b"", []),
        (EMPTY_WITH_TRAILER, b"", [(b"x-sum", b"7")]),
        (LARGE, b"z" * 40000, []),
        (OPEN_ENDED, b"abcde", []),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", b"abcde", []),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", []),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", []),
        (NOT_MODIFIED, b"", []),
    ],
    ids=["empty", "empty with trailer", "large", "open ended", "length", "length 0", "204", "304"],
)
@pytest.mark.parametrize("pipelined", [False, True], ids=["alone", "pipelined"])
@pytest.mark.parametrize("edited", [False, True], ids=["", "edited"])
async def test_every_kind_of_body(
    answer: bytes, body: bytes, trailers: list[tuple[bytes, bytes]], pipelined: bool, edited: bool
) -> None:
    script = [request(), answer, close if answer is OPEN_ENDED else b""]
    route = "response_headers: {set: {X-Added: yes}}" if edited else ""
    async with watched(*script, route=route) as (way, _):
        if pipelined:
            await way.client.send(GET * 3)
        for _ in range(3):
            if not pipelined:
                await way.client.send(GET)
            got = await way.client.response(b"GET")
            assert (got.body, got.trailers) == (body, trailers)
            assert got.header(b"connection") is None
            assert got.header(b"x-added") == (b"yes" if edited else None)
            framed = [name for name, _ in got.headers if name in (b"transfer-encoding", b"content-length")]
            assert len(framed) == (got.status == 200)


@pytest.mark.parametrize("answer", [CHUNKED_HEAD, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"])
async def test_head(answer: bytes) -> None:
    async with watched(request(), answer) as (way, seen):
        await way.client.send(HEAD * 2)
        for _ in range(2):
            got = await way.client.response(b"HEAD")
            assert (got.status, got.body, got.header(b"connection")) == (200, b"", None)
        assert payload(seen) == b""
        assert len(way.origin.peers) == 1


@pytest.mark.parametrize("pieces", [CHUNKED, byte_by_byte(CHUNKED)], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("asked", [GET_1_0, KEEP_1_0], ids=["close", "keep-alive"])
async def test_http_1_0(pieces: Any, asked: bytes) -> None:
    async with watched(request(), pieces) as (way, seen):
        await way.client.send(asked)
        head, _, body = (await way.client.read_to_end()).partition(b"\r\n\r\n")
        assert body == b"abcde"
        assert b"transfer-encoding" not in head.lower()
        assert b"connection: close" in head.lower()
        assert payload(seen) == b"abcde"


async def test_http_1_0_keeps_a_connection_where_the_length_is_known() -> None:
    async with watched(request(), response(b"abcde")) as (way, _):
        for _ in range(2):
            got = await way.client.request(KEEP_1_0)
            assert (got.body, got.header(b"connection")) == (b"abcde", b"keep-alive")


async def test_what_breaks_off_is_cut_off() -> None:
    """The last chunk is never sent for a body that has no end."""
    async with watched(request(), CHUNKED_HEAD + b"2\r\nab\r\n", close) as (way, _):
        await way.client.send(GET)
        whole = await way.client.read_to_end()
        assert whole.endswith(b"2\r\nab\r\n")


async def test_the_next_request_of_the_connection_is_not_decoded() -> None:
    """What one request asks for is not left to the next, which has the same exchange."""
    async with watched(request(), CHUNKED) as (way, seen):
        assert (await way.client.request(GET)).body == b"abcde"
        plan = way.proxy.plan.routes.find(exchange().head)
        plan.first = plan.first.next
        seen.clear()
        assert (await way.client.request(GET)).body == b"abcde"
        assert payload(seen) == RAW
