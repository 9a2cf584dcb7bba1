"""Request heads: every refusal with its reason, every accepted form with what is read from it."""

from __future__ import annotations

import pytest

from proxy.errors import ProtocolError, Reason
from proxy.http1 import codec
from proxy.http1.codec import RequestHead

from .cases_request import ACCEPTS, GET, REJECTS
from .wire import MORE, named, parse_request, prove_request


@pytest.mark.parametrize(("data", "reason"), named(REJECTS))
def test_refused(data: bytes, reason: Reason) -> None:
    assert prove_request(data) == reason


@pytest.mark.parametrize(("data", "expected"), named(ACCEPTS))
def test_accepted(data: bytes, expected: dict[str, object]) -> None:
    outcome = prove_request(data)
    assert isinstance(outcome, tuple) and not isinstance(outcome, Reason)
    head = RequestHead()
    assert head.parse(data + b"next", 0) == len(data)
    assert {name: getattr(head, name) for name in expected} == expected


@pytest.mark.parametrize("control", [*range(0x20), 0x7F], ids=hex)
def test_a_control_byte_anywhere(control: int) -> None:
    """A control byte put in at any offset is refused; only HTAB may stand, inside a value or around it."""
    data = b"\r\nPOST /a?b HTTP/1.1\r\nHost: a.b\r\nContent-Length: 5\r\nConnection: close, c\r\nC: d e\r\n\r\n"
    original = parse_request(data)
    assert isinstance(original, tuple)
    for at in range(len(data)):
        changed = data[:at] + bytes([control]) + data[at:]
        outcome = parse_request(changed)
        if changed.startswith(data):  # it came to stand behind the head
            assert outcome == original
        elif not isinstance(outcome, Reason):
            assert control == 0x09 and isinstance(outcome, tuple)
            line = changed[changed.rindex(b"\r\n", 0, at) + 2 : at]
            assert line.startswith((b"Host:", b"Connection:", b"C:"))
            assert outcome[1:-1] == original[1:-1], "a tab changed what the head means"


@pytest.mark.parametrize("control", [*range(0x20), 0x7F], ids=hex)
def test_a_control_byte_instead_of_any_byte(control: int) -> None:
    data = b"GET /a HTTP/1.1\r\nHost: a\r\nC: d e\r\n\r\n"
    for at, was in enumerate(data):
        changed = data[:at] + bytes([control]) + data[at + 1 :]
        if was == control or isinstance(parse_request(changed), Reason):
            continue
        assert control in b"\t\r\n", at
        if control == 0x09:
            assert b":" in changed[changed.rindex(b"\r\n", 0, at) : at], "a tab outside a value"
        else:
            assert parse_request(changed) == MORE, "the end of the head was moved"


def test_what_a_head_that_failed_still_shows() -> None:
    """The method and the target as sent, for the log; nothing of the head that was parsed before it."""
    head = RequestHead()
    head.parse(b"POST http://b/secret HTTP/1.1\r\nHost: a\r\nX-Request-ID: one\r\n\r\n", 0)
    with pytest.raises(ProtocolError):
        head.parse(b"PUT /x?y HTTP/1.1\r\nHost: a, b\r\n\r\n", 0)
    assert (head.method, head.raw_target(), head.query_string()) == (b"PUT", b"/x?y", b"")
    assert (head.path, head.host, head.authority, head.items(), head.host_header()) == (
        b"",
        b"",
        None,
        [],
        b"",
    )
    with pytest.raises(ProtocolError):
        head.parse(b"(", 0)
    assert (head.method, head.raw_target(), head.value(codec.HOST), head.get(b"host")) == (
        b"",
        b"",
        None,
        None,
    )


def test_a_head_is_reused() -> None:
    head = RequestHead()
    for _, data, expected in ACCEPTS + ACCEPTS[::-1]:
        assert head.parse(data, 0) == len(data)
        assert {name: getattr(head, name) for name in expected} == expected
        assert head.parse(data[:-1], 0) == 0


def test_reading_headers() -> None:
    head = RequestHead()
    head.parse(GET + b"X-Two: 1\r\nx-tWO:  2 \r\nAccept: */*\r\n\r\n", 0)
    assert head.has(codec.ACCEPT) and not head.has(codec.EXPECT)
    assert (head.value(codec.ACCEPT), head.value(codec.EXPECT)) == (b"*/*", None)
    assert (head.get(b"x-two"), head.get(b"x-three")) == (b"1", None)
    assert (head.get_all(b"x-two"), head.get_all(b"x-three")) == ([b"1", b"2"], [])
    assert head.items() == [(b"Host", b"a"), (b"X-Two", b"1"), (b"x-tWO", b"2"), (b"Accept", b"*/*")]


@pytest.mark.parametrize("name", [name for name in codec.KNOWN_HEADERS if name])
def test_known_headers(name: bytes) -> None:
    number = codec.known_header(name)
    assert number == codec.known_header(name.upper()) == codec.KNOWN_HEADERS.index(name) > 0
    assert codec.mask_of(number, number) == 1 << number
    if name not in (b"host", b"content-length", b"transfer-encoding", b"connection"):
        head = RequestHead()
        head.parse(GET + name.title() + b": value\r\n\r\n", 0)
        assert head.has(number) and head.value(number) == b"value"


def test_unknown_headers() -> None:
    assert codec.known_header(b"x-other") == codec.known_header(b"") == 0
