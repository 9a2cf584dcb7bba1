"""What a client gets: exact bytes."""

from __future__ import annotations

import pytest

from proxy.http1 import codec
from proxy.http1.codec import HeaderEdits, ResponseHead, mask_of

from .cases_response import ACCEPTS
from .wire import named


def forward(
    data: bytes, *, block: bytes = b"", drop: int = 0, edits: HeaderEdits | None = None, body: bytes = b""
) -> bytes:
    head = ResponseHead()
    end = head.parse(data + body + b"more", 0)
    assert end == len(data)
    sent = head.forward(block, drop, edits, end + len(body))
    assert head.forward(block, drop, edits, end + len(body)) == sent
    return sent


def ok(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (b"HTTP/1.1 200 OK", *lines, b""))


def same(name: str, data: bytes) -> tuple[str, bytes, bytes]:
    """A row for what is forwarded as it stands."""
    return name, data, data


TABLE: list[tuple[str, bytes, bytes]] = [
    ("plain", ok(b"A: b"), ok(b"A: b")),
    ("no_headers", ok(), ok()),
    ("http_1_0", b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n", ok(b"A: b")),
    ("no_space_after_status", b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 \r\n\r\n"),
    same("no_reason", b"HTTP/1.1 204 \r\n\r\n"),
    same("other_reason", b"HTTP/1.1 599 caf\xc3\xa9 \t!\r\n\r\n"),
    ("connection", ok(b"Connection: close", b"A: b"), ok(b"A: b")),
    ("named", ok(b"Connection: x", b"X: 1", b"A: b", b"x: 2"), ok(b"A: b")),
    ("named_framing", ok(b"Connection: content-length", b"Content-Length: 0"), ok(b"Content-Length: 0")),
    ("keep_alive", ok(b"Keep-Alive: timeout=5", b"A: b"), ok(b"A: b")),
    ("proxy_authenticate", ok(b"Proxy-Authenticate: Basic"), ok()),
    ("upgrade", ok(b"Upgrade: h2c"), ok()),
    same("chunked", ok(b"Transfer-Encoding: chunked", b"Trailer: a")),
    same("cookies", ok(b"Set-Cookie: a", b"set-cookie: b")),
]


@pytest.mark.parametrize(("data", "expected"), named(TABLE))
def test_table(data: bytes, expected: bytes) -> None:
    assert forward(data) == expected
    assert forward(data, body=b"some body") == expected + b"some body"


def test_block_drop_and_edits() -> None:
    data = ok(b"Server: x", b"Via: 1.0 y", b"A: b", b"Set-Cookie: c")
    assert forward(data, block=b"Via: 1.1 q\r\n", drop=mask_of(codec.VIA)) == ok(
        b"Server: x", b"A: b", b"Set-Cookie: c", b"Via: 1.1 q"
    )
    edits = HeaderEdits(set={b"server": b"q"}, append={b"Set-Cookie": b"d"}, remove=[b"VIA", b"a"])
    assert forward(data, edits=edits) == ok(b"Set-Cookie: c", b"server: q", b"Set-Cookie: d")


def test_a_head_in_the_middle_of_the_data() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    data = interim + ok(b"Content-Length: 4") + b"bodynext"
    head = ResponseHead()
    first = head.parse(data, 0)
    assert (head.status, head.start, head.forward(b"", 0, None, first)) == (103, 0, interim)
    end = head.parse(data, first)
    assert (head.status, head.start, head.end, head.content_length) == (200, first, end, 4)
    assert head.forward(b"", 0, None, end + 4) == data[first : end + 4]


@pytest.mark.parametrize(("data", "_"), named(ACCEPTS))
def test_forwarding_is_idempotent(data: bytes, _: object) -> None:
    sent = forward(data)
    assert forward(sent) == sent
