"""Forwarding headers as plain functions: who the client is, and the lines for the backend.

Law of this file: what a stranger writes never changes what is believed, and every Forwarded that we write is read by
a strict parser of RFC 7239 section 4, which is in this file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http import forwarded
from proxy.http1.codec import RequestHead

NETWORKS = [ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")]


def head(*lines: bytes, host: bytes = b"example.com") -> RequestHead:
    parsed = RequestHead()
    assert parsed.parse(b"\r\n".join([b"GET / HTTP/1.1", b"Host: " + host, *lines, b"", b""]), 0)
    return parsed


def trusts(address: str) -> bool:
    return any(ip_address(address) in network for network in NETWORKS)


def xff(*values: str) -> list[bytes]:
    return [b"X-Forwarded-For: " + value.encode("latin-1") for value in values]


# --- a strict parser of RFC 7239 ------------------------------------------------------------------------

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
PAIR = rf"{TOKEN}=(?:{TOKEN}|{QUOTED})"
ELEMENT = re.compile(rf"{PAIR}(?:;{PAIR})*")
NODE = re.compile(r"(?:[0-9.]+|\[[0-9A-Fa-f:.]+\]|unknown|_[A-Za-z0-9._-]+)(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")


def parse_forwarded(value: str) -> list[dict[str, str]]:
    """The elements; fails on anything that RFC 7239 does not allow."""
    elements = []
    at = 0
    while True:
        match = ELEMENT.match(value, at)
        assert match is not None, f"no element at {at} of {value!r}"
        pairs = re.findall(rf"({TOKEN})=({TOKEN}|{QUOTED})", match[0])
        names = [name.lower() for name, _ in pairs]
        assert len(set(names)) == len(names), "a parameter is there twice"
        element = {name.lower(): re.sub(r"\\(.)", r"\1", text.strip('"')) for name, text in pairs}
        assert NODE.fullmatch(element.get("for", "unknown"))
        elements.append(element)
        if match.end() == len(value):
            return elements
        separator = re.compile(r"[ \t]*,[ \t]*").match(value, match.end())
        assert separator is not None, f"no comma at {match.end()} of {value!r}"
        at = separator.end()


# --- who the client is ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        ([], "10.0.0.1"),
        (xff("192.0.2.1"), "192.0.2.1"),
        (xff("192.0.2.9, 192.0.2.1"), "192.0.2.1"),
        (xff("192.0.2.1, 10.0.0.2"), "192.0.2.1"),
        (xff("192.0.2.1, 10.0.0.2 ,10.1.1.1"), "192.0.2.1"),
        (xff("198.51.100.7, 192.0.2.1, 10.0.0.2"), "192.0.2.1"),
        (xff("192.0.2.1", "10.0.0.2"), "192.0.2.1"),
        (xff("10.0.0.3, 10.0.0.2"), "10.0.0.3"),
        (xff("192.0.2.1:4711"), "192.0.2.1"),
        (xff("2001:db8::1"), "2001:db8::1"),
        (xff("2001:DB8:0::1"), "2001:db8::1"),
        (xff("[2001:db8::1]"), "2001:db8::1"),
        (xff("[2001:db8::1]:443, fd00::2"), "2001:db8::1"),
        (xff("2001:db8::5:1, 10.0.0.2"), "2001:db8::5:1"),
        (xff("192.0.2.1, ::ffff:10.0.0.2"), "192.0.2.1"),
        (xff("::ffff:192.0.2.1"), "192.0.2.1"),
        # what is no address ends the walk
        (xff("192.0.2.1, unknown, 10.0.0.2"), "10.0.0.2"),
        (xff("unknown"), "10.0.0.1"),
        (xff(""), "10.0.0.1"),
        (xff("192.0.2.1,"), "10.0.0.1"),
        (xff("192.0.2.1, , 10.0.0.2"), "10.0.0.2"),
        (xff("999.1.1.1"), "10.0.0.1"),
        (xff("192.0.2.1 10.0.0.2"), "10.0.0.1"),
        (xff("fe80::1%eth0"), "10.0.0.1"),
        (xff('fe80::1%"x'), "10.0.0.1"),
        (xff("1"), "10.0.0.1"),
        (xff("[192.0.2.1"), "192.0.2.1"),
        (xff("\xb9\xb2.0.0.1"), "10.0.0.1"),
        # Forwarded, if there is no X-Forwarded-For
        ([b"Forwarded: for=192.0.2.1"], "192.0.2.1"),
        ([b'Forwarded: For="[2001:db8::1]:80";proto=https'], "2001:db8::1"),
        ([b"Forwarded: proto=http;host=x;for=192.0.2.1, for=10.0.0.2;by=10.0.0.1"], "192.0.2.1"),
        ([b"Forwarded: for=192.0.2.9, for=192.0.2.1", b"Forwarded: for=10.0.0.2"], "192.0.2.1"),
        ([b"Forwarded: for=192.0.2.1, for=_hidden"], "10.0.0.1"),
        ([b"Forwarded: for=192.0.2.1, proto=https"], "10.0.0.1"),
        ([b"Forwarded: for=192.0.2.1;"], "192.0.2.1"),
        ([b"Forwarded: for 192.0.2.1"], "10.0.0.1"),
        ([b"Forwarded: for=192.0.2.1", *xff("192.0.2.2")], "192.0.2.2"),
        # a quote that a client left open swallows nothing that stands behind it
        ([b'Forwarded: for=192.0.2.9;host="x, for=192.0.2.1'], "192.0.2.1"),
        ([b'Forwarded: for=192.0.2.1;host="x;for=192.0.2.9"'], "192.0.2.1"),
    ],
)
def test_client_address(lines: list[bytes], client: str) -> None:
    assert forwarded.client_address(head(*lines), "10.0.0.1", trusts) == client


@given(st.binary(max_size=60).map(lambda data: bytes(b for b in data if b >= 32 and b != 127)))
def test_the_client_address_is_an_address_whatever_is_claimed(value: bytes) -> None:
    for name in (b"X-Forwarded-For: ", b"Forwarded: "):
        ip_address(forwarded.client_address(head(name + value), "10.0.0.1", trusts))


def unmapped(address: IPv4Address | IPv6Address) -> bool:
    return isinstance(address, IPv4Address) or address.ipv4_mapped is None


ADDRESSES: st.SearchStrategy[IPv4Address | IPv6Address] = st.ip_addresses().filter(unmapped)


@given(claims=st.text('0123456789abcdef:.,"=; ', max_size=40), client=ADDRESSES)
def test_what_stands_left_of_the_client_changes_nothing(claims: str, client: object) -> None:
    outside = str(client)
    expected = outside if not trusts(outside) else None
    if expected is not None:
        lines = xff(f"{claims},{outside}, 10.0.0.9")
        assert forwarded.client_address(head(*lines), "10.0.0.1", trusts) == expected
        element = forwarded.element(outside, "http", b"").decode()
        own = [f"Forwarded: {claims},{element}".encode()]
        assert forwarded.client_address(head(*own), "10.0.0.1", trusts) == expected


# --- lines for the backend ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "address", "via", "expected"),
    [
        ("none", "192.0.2.1", None, b""),
        ("none", "192.0.2.1", "q", b"Via: 1.1 q\r\n"),
        ("x-forwarded", "192.0.2.1", "q", b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nVia: 1.1 q\r\n"),
        ("x-forwarded", "2001:db8::1", None, b"X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: http\r\n"),
        ("both", "unix", None, b"X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\n"),
        ("rfc7239", "192.0.2.1", None, b""),
    ],
)
def test_static_lines(mode: str, address: str, via: str | None, expected: bytes) -> None:
    assert forwarded.static_fields(mode, address, "http", via).lines == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "::ffff:c000:201"),
        ("2001:db8::1", "2001:db8::1"),
        ("::1", "::1"),
    ],
)
def test_peer_address(address: str, expected: str) -> None:
    assert forwarded.peer_address(address) == expected


@pytest.mark.parametrize(
    ("address", "host", "expected"),
    [
        ("192.0.2.1", b"example.com", b'for=192.0.2.1;proto=https;host="example.com"'),
        ("2001:db8::1", b"[::1]:80", b'for="[2001:db8::1]";proto=https;host="[::1]:80"'),
        ("unix", b"", b"for=unknown;proto=https"),
        ("192.0.2.1", b'a"\\b', b'for=192.0.2.1;proto=https;host="a\\"\\\\b"'),
    ],
)
def test_an_element_of_forwarded(address: str, host: bytes, expected: bytes) -> None:
    element = forwarded.element(address, "https", host)
    assert element == expected
    (parsed,) = parse_forwarded(element.decode())
    assert parsed.get("host", "").encode() == host
    assert parsed["proto"] == "https"


def lines(mode: str, *came: bytes, trusted: bool = True, via: str | None = None) -> dict[str, str]:
    """The lines that the backend gets beside those that pass."""
    block = forwarded.fields_for(head(*came), mode, "10.0.0.1", "http", via=via, trusted=trusted).lines.decode(
        "latin-1"
    )
    assert block == "" or block.endswith("\r\n")
    found: dict[str, str] = dict(line.split(": ", 1) for line in block.split("\r\n")[:-1])
    return found


def came(*values: tuple[str, str]) -> Iterable[bytes]:
    return [f"{name}: {value}".encode() for name, value in values]


OWN = 'for=10.0.0.1;proto=http;host="example.com"'


@pytest.mark.parametrize(
    ("mode", "given_lines", "expected"),
    [
        ("x-forwarded", [], {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "http"}),
        (
            "x-forwarded",
            [("X-Forwarded-For", "a, b")],
            {"X-Forwarded-For": "a, b, 10.0.0.1", "X-Forwarded-Proto": "http"},
        ),
        ("x-forwarded", [("X-Forwarded-For", "")], {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Proto": "http"}),
        ("x-forwarded", [("X-Forwarded-Proto", "https")], {"X-Forwarded-For": "10.0.0.1"}),
        (
            "x-forwarded",
            [("Forwarded", 'for="[2001:db8::1]:80", for=_x, for=192.0.2.1')],
            {"X-Forwarded-For": "2001:db8::1, unknown, 192.0.2.1, 10.0.0.1", "X-Forwarded-Proto": "http"},
        ),
        ("rfc7239", [], {"Forwarded": OWN}),
        ("rfc7239", [("Forwarded", "for=192.0.2.1")], {"Forwarded": f"for=192.0.2.1, {OWN}"}),
        (
            "rfc7239",
            [("X-Forwarded-For", "2001:db8::1, secret, 192.0.2.1")],
            {"Forwarded": f'for="[2001:db8::1]", for=unknown, for=192.0.2.1, {OWN}'},
        ),
        (
            "both",
            [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.2")],
            {"X-Forwarded-For": "192.0.2.1, 10.0.0.1", "Forwarded": f"for=192.0.2.2, {OWN}"},
        ),
        ("none", [("X-Forwarded-For", "192.0.2.1")], {}),
    ],
)
def test_lines_for_a_trusted_proxy(mode: str, given_lines: list[tuple[str, str]], expected: dict[str, str]) -> None:
    assert lines(mode, *came(*given_lines)) == expected
    if "Forwarded" in expected:
        parse_forwarded(expected["Forwarded"])


def test_lines_for_a_stranger() -> None:
    claims = came(("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.1"))
    assert lines("both", *claims, trusted=False, via="q") == {
        "X-Forwarded-For": "10.0.0.1",
        "X-Forwarded-Proto": "http",
        "Forwarded": OWN,
        "Via": "1.1 q",
    }


@given(st.text("abz019._~!$&'()*+;=:-[]", max_size=20), ADDRESSES)
def test_what_is_written_as_forwarded_is_valid(host: str, address: object) -> None:
    element = forwarded.element(str(address), "http", host.encode()).decode()
    (parsed,) = parse_forwarded(element)
    assert parsed.get("host", "") == host
    assert ip_address(parsed["for"].strip("[]")) == address
