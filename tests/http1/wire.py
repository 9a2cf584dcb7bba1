"""What every case of the tables must satisfy, however its bytes arrive.

Law of this file: an outcome is everything that can be seen of a parsed head, or the one Reason it was
refused for. The same bytes have the same outcome whole, cut anywhere, and with other bytes behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from proxy.errors import ProtocolError, Reason
from proxy.http1.codec import ChunkedDecoder, HeadBuffer, RequestHead, ResponseHead

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

MORE = "more"
TRAILING = (b"", b"GET /next HTTP/1.1\r\nHost: evil\r\n\r\n", b"0\r\n\r\n", b"\x00\xff\r\n")


class Limits(NamedTuple):
    """The limits of a head: bytes of the head, header lines, bytes of the target."""

    size: int = 32768
    lines: int = 100
    target: int = 8192


USUAL = Limits()


def named(cases: Iterable[tuple[Any, ...]]) -> list[ParameterSet]:
    """Table rows as pytest parameters, the first column as the test's id. Names must differ."""
    rows = list(cases)
    assert len({row[0] for row in rows}) == len(rows)
    return [pytest.param(*row[1:], id=row[0]) for row in rows]


def request_head(limits: Limits = USUAL) -> RequestHead:
    head = RequestHead()
    head.max_size, head.max_count, head.max_target = limits
    return head


def parse_request(data: bytes, start: int = 0, limits: Limits = USUAL) -> object:
    """The outcome of a request head: MORE, a Reason, or everything that can be seen of it."""
    head = request_head(limits)
    try:
        end = head.parse(data, start)
    except ProtocolError as error:
        return error.reason
    if end == 0:
        return MORE
    assert head.end == end
    return (
        end - start, head.method, head.raw_target(), head.path, head.query_string(), head.rewritten,
        head.host,
        head.host_header(), head.authority, head.minor, head.content_length, head.chunked, head.close,
        head.keep_alive, head.upgrade, head.idempotent, head.is_head, head.items(),
    )  # fmt: skip


def parse_response(data: bytes, start: int = 0, limits: Limits = USUAL) -> object:
    """The outcome of a response head."""
    head = ResponseHead()
    head.max_size, head.max_count, _ = limits
    try:
        end = head.parse(data, start)
    except ProtocolError as error:
        return error.reason
    if end == 0:
        return MORE
    assert head.end == end
    return (
        end - start, head.status, head.minor, head.content_length, head.chunked, head.close, head.keep_alive,
        head.upgrade, head.clean(0), head.items(), head.forward(b"", 0, None, end),
    )  # fmt: skip


def prove(parse: Callable[..., object], data: bytes) -> object:
    """The outcome of `data`, the same whole, in every prefix, behind other bytes and before them."""
    whole = parse(data)
    assert whole != MORE, "a case must be decided"
    decided = [parse(data[:cut]) for cut in range(len(data) + 1)]
    first = next(cut for cut, outcome in enumerate(decided) if outcome != MORE)
    assert all(outcome == whole for outcome in decided[first:])
    for trailing in TRAILING:
        assert parse(data + trailing) == whole
        assert parse(trailing + data, len(trailing)) == whole
    return whole


def prove_request(data: bytes) -> object:
    """As `prove`, and the same through a HeadBuffer, a byte at a time and in two pieces."""
    whole = prove(parse_request, data)
    assert through_buffer([bytes([byte]) for byte in data]) == whole
    for cut in range(1, len(data), 1 + len(data) // 40):
        assert through_buffer([data[:cut], data[cut:]]) == whole
    return whole


def through_buffer(pieces: Iterable[bytes]) -> object:
    """The outcome of a request head that is collected in a HeadBuffer and parsed once."""
    buffer = HeadBuffer(32768)
    for piece in (*pieces, b"\r\n\r\n"):  # a refused head may be a fragment
        held = buffer.feed(piece)
        if held is not None:
            outcome = parse_request(held)
            assert outcome != MORE, "the buffer must hold back what cannot be decided"
            return outcome
    raise AssertionError("the buffer never gave the head away")


class Body(NamedTuple):
    """What came of a chunked body: the forwarded bytes, the count of payload bytes, the bytes behind it."""

    out: bytes
    total: int
    rest: bytes


def decode(
    pieces: Iterable[bytes], *, payload: bool = False, response: bool = False, limit: int = 32768
) -> Body | Reason | str:
    """Feed a chunked body in pieces: a Body if it is complete, a Reason if it was refused, else MORE."""
    decoder = ChunkedDecoder(payload, response, limit)
    out, rest = [], b""
    for piece in pieces:
        if decoder.done:
            rest += piece
            continue
        try:
            out.append(bytes(decoder.feed(piece, 0)))
        except ProtocolError as error:
            return error.reason
        rest += piece[decoder.end :]
    return Body(b"".join(out), decoder.total, rest) if decoder.done else MORE


def prove_body(data: bytes, *, payload: bool = False, response: bool = False) -> Body | Reason | str:
    """The outcome of a chunked body, shown to be the same whole, byte by byte, and cut in two anywhere."""

    def feed(pieces: Iterable[bytes]) -> Body | Reason | str:
        return decode(pieces, payload=payload, response=response)

    whole = feed([data])
    assert feed([bytes([byte]) for byte in data]) == whole
    for cut in range(len(data) + 1):
        assert feed([data[:cut], data[cut:]]) == whole
    if whole != MORE:
        expected = whole._replace(rest=whole.rest + b"trailing") if isinstance(whole, Body) else whole
        assert feed([data + b"trailing"]) == expected
    return whole
