"""Request and response smuggling: no framing that two readers could take in two ways gets through."""

from __future__ import annotations

import pytest

from proxy import errors as e
from proxy.errors import Reason
from proxy.http1.codec import RequestHead

from .cases_smuggling import CORPUS
from .wire import named, parse_response, prove, prove_request

FRAMES = [
    b"POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n",
    b"POST / HTTP/1.1\r\n%s\r\nHost: a\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding, content-length\r\n%s\r\nB: c\r\n\r\n",
]


@pytest.mark.parametrize(("lines", "reason", "_"), named(CORPUS))
def test_requests(lines: bytes, reason: Reason, _: Reason) -> None:
    for frame in FRAMES:
        assert prove_request(frame % lines) == reason


@pytest.mark.parametrize(("lines", "_", "reason"), named(CORPUS))
def test_responses(lines: bytes, _: Reason, reason: Reason) -> None:
    assert prove(parse_response, b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % lines) == reason
    assert prove(parse_response, b"HTTP/1.1 200\r\nServer: a\r\n%s\r\nB: c\r\n\r\n" % lines) == reason


@pytest.mark.parametrize("lines", [b"Transfer-Encoding: chunked", b"Transfer-Encoding: x\r\nContent-Length: 1"])
def test_no_transfer_coding_in_http_1_0(lines: bytes) -> None:
    """RFC 9112 6.1: such a message has been through a hop that did not understand it."""
    assert prove_request(b"POST / HTTP/1.0\r\nHost: a\r\n%s\r\n\r\n" % lines) == e.CODING_IN_HTTP10
    assert prove(parse_response, b"HTTP/1.0 200 OK\r\n%s\r\n\r\n" % lines) == e.BAD_RESPONSE_CODING


def test_connection_cannot_take_framing_away() -> None:
    """Connection names the framing and the addressing headers in vain; what is forwarded still has them."""
    kept = [
        b"Host: a", b"Content-Length: 5", b"Trailer: b", b"Expect: 100-continue", b"Via: 1.0 c",
        b"Forwarded: for=d",
        b"X-Forwarded-For: e", b"X-Forwarded-Proto: f", b"X-Forwarded-Host: g", b"X-Forwarded-Port: h",
        b"X-Real-IP: i", b"Max-Forwards: 3", b"X-Request-ID: j",
    ]  # fmt: skip
    names = b", ".join(line.split(b":")[0].lower() for line in kept)
    head = RequestHead()
    head.parse(b"POST / HTTP/1.1\r\nConnection: " + names + b", x\r\nX: y\r\n" + b"\r\n".join(kept) + b"\r\n\r\n", 0)
    sent = head.forward(None, b"", 0, False, False, None)
    assert set(sent.split(b"\r\n")) == {b"POST / HTTP/1.1", b"", *kept}


def test_names_that_only_look_like_framing() -> None:
    """Legal names of their own: they frame nothing here, and are forwarded as they came."""
    head = RequestHead()
    lines = b"Content_Length: 5\r\nTransfer_Encoding: chunked\r\nX-Content-Length: 6\r\nContent-Lengths: 7\r\n"
    head.parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n", 0)
    assert (head.content_length, head.chunked) == (-1, False)
    assert lines in head.forward(None, b"", 0, False, False, None)
