"""Limits of heads: exactly at the limit passes, one above is refused, and nothing is ever held without
bound.
"""

from __future__ import annotations

import pytest

from proxy import errors as e
from proxy.errors import ProtocolError
from proxy.http1.codec import HeadBuffer

from .wire import MORE, Limits, parse_request, parse_response

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\n"
LIMITS = Limits(size=1000, lines=10, target=200)


def padded(start: bytes, size: int) -> bytes:
    """A head of exactly `size` bytes."""
    return start + b"A: " + b"x" * (size - len(start) - 7) + b"\r\n\r\n"


@pytest.mark.parametrize(("size", "passes"), [(999, True), (1000, True), (1001, False), (1500, False)])
def test_head_size(size: int, passes: bool) -> None:
    for start, parse, reason in [
        (REQUEST, parse_request, e.HEAD_TOO_LARGE),
        (RESPONSE, parse_response, e.RESPONSE_HEAD_TOO_LARGE),
    ]:
        data = padded(start, size)
        assert len(data) == size
        for at in (0, 7):
            outcome = parse(b"-" * at + data + b"body" * 500, at, LIMITS)
            assert isinstance(outcome, tuple) and outcome[0] == size if passes else outcome == reason
            unfinished = parse(b"-" * at + data[:-1], at, LIMITS)
            assert unfinished == (MORE if size <= 1001 else reason)


@pytest.mark.parametrize(("lines", "passes"), [(9, True), (10, True), (11, False)])
def test_header_count(lines: int, passes: bool) -> None:
    data = REQUEST + b"A: b\r\n" * (lines - 1)
    assert (parse_request(data + b"\r\n", 0, LIMITS) != e.TOO_MANY_HEADERS) is passes
    assert parse_request(data, 0, LIMITS) == (MORE if passes else e.TOO_MANY_HEADERS), "before the head is complete"
    data = RESPONSE + b"A: b\r\n" * lines
    assert (parse_response(data + b"\r\n", 0, LIMITS) != e.RESPONSE_HEAD_TOO_LARGE) is passes


@pytest.mark.parametrize("lines", [23, 24, 25, 48, 49, 97, 500, 3000])
def test_the_table_of_headers_grows(lines: int) -> None:
    limits = Limits(size=1 << 20, lines=lines)
    outcome = parse_request(REQUEST + b"".join(b"N%d: v%d\r\n" % (n, n) for n in range(lines - 1)) + b"\r\n", 0, limits)
    assert isinstance(outcome, tuple)
    assert outcome[-1] == [(b"Host", b"a")] + [(b"N%d" % n, b"v%d" % n) for n in range(lines - 1)]


@pytest.mark.parametrize(("size", "passes"), [(199, True), (200, True), (201, False), (5000, False)])
def test_target_size(size: int, passes: bool) -> None:
    for target in (b"/" + b"x" * (size - 1), b"/?" + b"x" * (size - 2)):
        data = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"
        assert (parse_request(data, 0, LIMITS) != e.TARGET_TOO_LONG) is passes
        assert parse_request(b"GET " + target, 0, LIMITS) == (MORE if passes else e.TARGET_TOO_LONG)


def test_a_target_beyond_the_head_size() -> None:
    """The target limit may be the larger one; what is too long is then still the target."""
    limits = Limits(size=100, target=8192)
    assert parse_request(b"GET /" + b"x" * 200, 0, limits) == e.TARGET_TOO_LONG
    assert parse_request(b"GET /" + b"x" * 200 + b" HTTP/1.1\r\n", 0, limits) == e.HEAD_TOO_LARGE


@pytest.mark.parametrize("piece", [1, 2, 7, 64, 5000])
@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"x" * 5000, e.TARGET_TOO_LONG),
        (b"GET /" + b"x" * 5000, e.TARGET_TOO_LONG),
        (REQUEST + b"x" * 5000, e.HEAD_TOO_LARGE),
        (REQUEST + b"A: " + b"x" * 5000, e.HEAD_TOO_LARGE),
        (REQUEST + b"A: b\r\n" * 1000, e.HEAD_TOO_LARGE),
        (b"\r\nGET /" + b"x" * 5000, e.TARGET_TOO_LONG),
        (b"\r" * 5000, e.TARGET_TOO_LONG),
    ],
)
def test_a_buffer_holds_no_more_than_its_limit(stream: bytes, reason: e.Reason, piece: int) -> None:
    buffer = HeadBuffer(1000)
    with pytest.raises(ProtocolError) as error:
        for at in range(0, len(stream), piece):
            assert buffer.feed(stream[at : at + piece]) is None
            assert len(buffer) <= 1000
    assert error.value.reason == reason


def test_a_buffer_gives_away_a_head_at_its_limit() -> None:
    data = padded(REQUEST, 1000)
    buffer = HeadBuffer(1000)
    assert buffer.feed(data[:-1]) is None
    assert buffer.feed(data[-1:] + b"body" * 1000) == data + b"body" * 1000


@pytest.mark.parametrize("data", [b"", b"\r", b"\r\n", b"\r\nG", REQUEST[:-1], REQUEST, REQUEST + b"\r"])
def test_a_buffer_waits_for_the_empty_line(data: bytes) -> None:
    assert HeadBuffer(1000).feed(data) is None
    assert parse_request(data) == MORE
