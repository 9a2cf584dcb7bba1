"""Response heads: every refusal with its reason, every accepted form with what is read from it."""

from __future__ import annotations

import pytest

from proxy.errors import ProtocolError, Reason
from proxy.http1 import codec
from proxy.http1.codec import ResponseHead

from .cases_response import ACCEPTS, OK, REJECTS
from .wire import named, parse_response, prove


@pytest.mark.parametrize(("data", "reason"), named(REJECTS))
def test_refused(data: bytes, reason: Reason) -> None:
    assert prove(parse_response, data) == reason


@pytest.mark.parametrize(("data", "expected"), named(ACCEPTS))
def test_accepted(data: bytes, expected: dict[str, object]) -> None:
    assert isinstance(prove(parse_response, data), tuple)
    head = ResponseHead()
    assert head.parse(data + b"body", 0) == len(data)
    assert {name: getattr(head, name) for name in expected} == expected


@pytest.mark.parametrize("control", [*range(0x20), 0x7F], ids=hex)
def test_a_control_byte_anywhere(control: int) -> None:
    data = b"HTTP/1.1 200 all right\r\nContent-Length: 5\r\nConnection: close, c\r\nC: d e\r\n\r\n"
    original = parse_response(data)
    assert isinstance(original, tuple)
    for at in range(len(data)):
        changed = data[:at] + bytes([control]) + data[at:]
        outcome = parse_response(changed)
        if changed.startswith(data):
            assert outcome == original
        elif not isinstance(outcome, Reason):
            assert control == 0x09 and isinstance(outcome, tuple)
            line = changed[changed.rfind(b"\r\n", 0, at) + 2 if at > 23 else 0 : at]
            assert line.startswith((b"HTTP/1.1 200 ", b"Connection:", b"C:"))
            assert outcome[1:8] == original[1:8], "a tab changed what the head means"


def test_what_a_head_that_failed_still_shows() -> None:
    head = ResponseHead()
    head.parse(OK + b"Content-Type: a\r\n\r\n", 0)
    with pytest.raises(ProtocolError):
        head.parse(b"nonsense", 0)
    assert (head.items(), head.get(b"content-type"), head.has(codec.CONTENT_LENGTH)) == ([], None, False)


@pytest.mark.parametrize(
    ("data", "drop", "clean"),
    named([
        ("plain", OK + b"A: b\r\n\r\n", 0, True),
        ("length", OK + b"Content-Length: 1\r\n\r\n", 0, True),
        ("http_1_0", b"HTTP/1.0 200 OK\r\n\r\n", 0, False),
        ("no_space_after_status", b"HTTP/1.1 200\r\n\r\n", 0, False),
        ("connection", OK + b"Connection: close\r\n\r\n", 0, False),
        ("named_by_connection", OK + b"Connection: a\r\nA: b\r\n\r\n", 0, False),
        ("keep_alive", OK + b"Keep-Alive: timeout=5\r\n\r\n", 0, False),
        ("proxy_authenticate", OK + b"Proxy-Authenticate: Basic\r\n\r\n", 0, False),
        ("dropped", OK + b"Via: 1.1 a\r\n\r\n", 1 << codec.VIA, False),
        ("other_dropped", OK + b"A: b\r\n\r\n", 1 << codec.VIA, True),
    ]),
)  # fmt: skip
def test_clean(data: bytes, drop: int, clean: bool) -> None:
    """A clean head may go to the client as it was received: forwarding it would change nothing."""
    head = ResponseHead()
    end = head.parse(data + b"body", 0)
    assert head.clean(drop) is clean
    assert (head.forward(b"", drop, None, end) == data) is clean
