"""Memory: wrong use raises instead of reading where nothing is, and work leaves nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.errors import ProtocolError
from proxy.http1 import codec
from proxy.http1.codec import ChunkedDecoder, HeadBuffer, HeaderEdits, RequestHead, ResponseHead

from . import cases_chunked, cases_request, cases_response
from .wire import named

GET = b"GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("start", [-1, -(2**40), len(GET) + 1, 2**40])
@pytest.mark.parametrize("read", [RequestHead().parse, ResponseHead().parse, ChunkedDecoder().feed])
def test_a_start_outside_of_the_data(read: Callable[[bytes, int], object], start: int) -> None:
    with pytest.raises(ValueError):
        read(GET, start)


@pytest.mark.parametrize(
    "call",
    [
        lambda nothing: RequestHead().parse(nothing, 0),
        lambda nothing: ResponseHead().parse(nothing, 0),
        lambda nothing: ChunkedDecoder().feed(nothing, 0),
        lambda nothing: HeadBuffer(10).feed(nothing),
        lambda nothing: RequestHead().get(nothing),
        lambda nothing: RequestHead().get_all(nothing),
        lambda nothing: codec.canonicalize(nothing),
        lambda nothing: codec.known_header(nothing),
        lambda nothing: codec.seed_ids(nothing),
    ],
)
def test_none_instead_of_bytes(call: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError):
        call(None)


@pytest.mark.parametrize("seed", [b"short", b"x" * 17])
def test_a_seed_of_another_size(seed: bytes) -> None:
    with pytest.raises(ValueError):
        codec.seed_ids(seed)


def read_everything(head: Any) -> None:
    """All that a head offers, whatever state it is in."""
    assert head.get(b"host") is None and head.items() == [] and head.get_all(b"host") == []
    assert not any(head.has(known) for known in range(1, len(codec.KNOWN_HEADERS)))
    assert head.value(codec.HOST) is None
    with pytest.raises(ValueError):
        head.forward(*(None, b"", 0, True, True, None) if isinstance(head, RequestHead) else (b"", 0, None, 0))
    if isinstance(head, RequestHead):
        assert len(head.request_id()) == 32
        assert (head.raw_target(), head.query_string(), head.host_header()) == (b"", b"", b"")
    else:
        assert head.clean(0) in (True, False)


@pytest.mark.parametrize(("kind", "good"), [(RequestHead, GET), (ResponseHead, OK)])
def test_reading_a_head_that_holds_nothing(kind: Callable[[], Any], good: bytes) -> None:
    head = kind()
    read_everything(head)
    head.parse(good, 0)
    head.release()
    read_everything(head)
    head.parse(good, 0)
    assert head.parse(good[:3], 0) == 0
    read_everything(head)
    head.parse(good, 0)
    with pytest.raises(ProtocolError):
        head.parse(b"\0", 0)
    read_everything(head)


def test_nothing_survives_a_release() -> None:
    """A head is used again for other clients: neither what was read nor the id that was made may show there."""
    head = RequestHead()
    head.parse(GET, 0)
    before = head.request_id()
    head.release()
    assert (head.method, head.path, head.host) == (b"", b"", b"")
    assert head.request_id() != before


@pytest.mark.parametrize("tail", [0, len(OK) - 1, len(OK) + 5, -1, 2**40])
def test_a_tail_outside_of_the_data(tail: int) -> None:
    head = ResponseHead()
    head.parse(OK + b"body", 0)
    with pytest.raises(ValueError):
        head.forward(b"", 0, None, tail)


def varied(number: int) -> bytes:
    return b"GET /%d/%%41 HTTP/1.1\r\nHost: h%d\r\nConnection: n%d\r\n%sX-Request-ID: %s\r\n\r\n" % (
        number, number, number % 7, b"N%d: %s\r\n" % (number % 5, b"v" * (number % 97)) * (number % 60),
        b"i" * (number % 140),
    )  # fmt: skip


def work(rounds: range) -> None:
    """Parse, forward, refuse, grow and drop heads and bodies of all kinds."""
    edits = HeaderEdits(set={b"N1": b"x"}, remove=[b"accept"])
    refused = [*cases_request.REJECTS, *cases_response.REJECTS]
    shared = RequestHead()
    for number in rounds:
        shared.parse(varied(number), 0)
        shared.forward(None, b"Via: a\r\n", 0, True, False, edits)
        shared.release()
        if number % 10:
            continue
        data = refused[number // 10 % len(refused)][1]
        for head in (RequestHead(), ResponseHead()):
            try:
                head.parse(data, 0)
            except ProtocolError:
                pass
        body = cases_chunked.REJECTS[number // 10 % len(cases_chunked.REJECTS)][1]
        try:
            ChunkedDecoder().feed(body, 0)
        except ProtocolError:
            pass


def resident() -> int:
    """Pages of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1])


def test_memory_does_not_grow() -> None:
    """100,000 varied heads: no object is left behind, and no memory that Python does not see."""
    tracemalloc.start()
    work(range(1000))
    gc.collect()
    objects = tracemalloc.get_traced_memory()[0]
    work(range(1000, 11_000))
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] - objects < 20_000
    tracemalloc.stop()
    work(range(10_000))
    pages = resident()
    work(range(80_000))
    assert resident() - pages < 1024


def test_a_head_lives_as_long_as_its_data_is_needed() -> None:
    """The head holds the received bytes; nothing else keeps them alive."""
    head = RequestHead()
    head.parse(bytes(bytearray(GET)), 0)
    gc.collect()
    assert (head.raw_target(), head.value(codec.HOST)) == (b"/a?b", b"a")


@pytest.mark.parametrize(("data", "_"), named(cases_request.ACCEPTS))
def test_every_cut_of_an_accepted_head(data: bytes, _: object) -> None:
    """Bytes of exactly the cut size, so that a memory checker sees each read behind their end."""
    for cut in range(len(data)):
        assert RequestHead().parse(bytes(bytearray(data[:cut])), 0) == 0
