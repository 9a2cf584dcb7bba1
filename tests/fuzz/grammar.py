"""Messages for the fuzzers: grown from the grammar, then damaged.

Law of this file: strategies only. `requests`, `responses` and `chunked_bodies` are mostly valid; `damaged`
takes any of them a few small steps away from that, with the bytes that parsers disagree on.
"""

from __future__ import annotations

from hypothesis import strategies as st

TOKENS = st.text("!#$%&'*+-.^_`|~09AZaz", min_size=1, max_size=12).map(str.encode)
SPACE = st.sampled_from([b" ", b" ", b" ", b"", b"  ", b"\t", b" \t "])
VALUES = st.binary(max_size=40).map(lambda value: bytes(byte for byte in value if byte >= 0x20 and byte != 0x7F))

FRAMING = [
    *[b"Content-Length: 0", b"Content-Length: 5", b"content-length:005 ", b"Transfer-Encoding: chunked"] * 5,
    b"Content-Length: 5, 5",
    b"Content-Length: +5", b"Content-Length: 18446744073709551621",
    b"transfer-encoding:CHUNKED", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\tchunked", b"Transfer-Encoding : chunked", b"Transfer-Encoding: chunked, identity",
]  # fmt: skip
KNOWN = [
    b"Connection: close", b"Connection: keep-alive", b"Connection: x-a, content-length, host",
    b"Connection: upgrade", b"Keep-Alive: timeout=5", b"TE: trailers", b"Upgrade: websocket",
    b"Expect: 100-continue", b"X-A: b", b"Proxy: c", b"X-Request-ID: d", b"X-Request-ID: <e>",
    b"X-Forwarded-For: 192.0.2.1", b"Via: 1.1 f", b"Accept: */*", b"Trailer: g", b"Cookie: h=i",
    b"Max-Forwards: 1",
]  # fmt: skip
METHODS = st.sampled_from(
    [b"GET"] * 4 + [b"POST"] * 4 + [b"HEAD", b"PUT", b"OPTIONS", b"OPTIONS", b"CONNECT", b"get", b"X!"]
)
TARGETS = st.sampled_from([
    *[b"/", b"/a/b?c=d", b"/a//%7e", b"/x/../y", b"http://b/c", b"/%2f"] * 5,
    b"*", b"//a/./b/../c", b"/%41%2f%zz", b"/a%20b", b"/..", b"http://b", b"http://b:80/c?d",
    b"https://[::1]/", b"http://u@b/", b"a:443", b"/?", b"/[|]^{}", b"/a#b", b"HTTP://B?c", b"",
])  # fmt: skip
VERSIONS = st.sampled_from([b"HTTP/1.1"] * 30 + [b"HTTP/1.0"] * 5 + [b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 "])
HOSTS = st.sampled_from([
    *[b"a", b"A.example:80", b"[::1]:8080", b"127.0.0.1"] * 8,
    b"", b"a b", b"a,b", b"u@a", b"[::1", b"a:99999", b"a_b;=",
])  # fmt: skip
CRLF = st.sampled_from([b"\r\n"] * 200 + [b"\n", b"\r", b"\r\r\n"])

LINES = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(KNOWN),
    st.builds(lambda name, before, value, after: name + b":" + before + value + after, TOKENS, SPACE, VALUES, SPACE),
)


@st.composite
def heads(draw: st.DrawFn, start: bytes, lines: list[bytes]) -> bytes:
    """A start line and header lines, with a rare bad line end among them."""
    out = [start, draw(CRLF)]
    for line in lines:
        out += [line, draw(CRLF)]
    return b"".join([*out, draw(CRLF)])


@st.composite
def header_lines(draw: st.DrawFn, first: list[bytes]) -> list[bytes]:
    lines = first + draw(st.lists(LINES, max_size=6))
    if draw(st.integers(0, 3)):
        lines += draw(st.lists(st.sampled_from(FRAMING), min_size=1, max_size=draw(st.sampled_from([1, 1, 1, 1, 2]))))
    lines += draw(st.sampled_from([[]] * 20 + [[b"Host: b"], [b" folded: c"], [b": d"]]))
    return draw(st.permutations(lines))


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request head, usually valid."""
    first = [b"Host:" + draw(SPACE) + draw(HOSTS)] if draw(st.integers(0, 19)) else []
    start = draw(METHODS) + b" " + draw(TARGETS) + b" " + draw(VERSIONS)
    leading = draw(st.sampled_from([b""] * 9 + [b"\r\n"]))
    return leading + draw(heads(start, draw(header_lines(first))))


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """A response head, usually valid."""
    status = draw(st.sampled_from([*[b"200", b"204", b"304", b"404", b"101", b"103", b"999"] * 4, b"99", b"2000"]))
    reason = draw(st.sampled_from([*[b" OK", b" ", b"", b" Not Found", b" caf\xc3\xa9"] * 4, b" \0"]))
    start = draw(VERSIONS).strip() + b" " + status + reason
    return draw(heads(start, draw(header_lines([]))))


SIZES = st.sampled_from([*[b"%x", b"%X", b"0%x"] * 10, b"%x ", b"+%x", b"0x%x"])
EXTENSIONS = st.sampled_from([b"", b"", b";a", b" ; b = c", b';d="e;\\""'] * 8 + [b";", b";a=", b';a="', b" ", b";a\n"])
TRAILERS = st.sampled_from(
    [b"", b"", b"A: b\r\n", b"A:\r\nB: \t c \r\n"] * 6 + [b"Host: a\r\n", b"A : b\r\n", b" a\r\n", b"A\n"]
)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """A chunked body, usually valid."""
    out = []
    for payload in draw(st.lists(st.binary(min_size=1, max_size=40), max_size=4)):
        out += [draw(SIZES) % len(payload), draw(EXTENSIONS), draw(CRLF), payload, draw(CRLF)]
    out += [b"0", draw(EXTENSIONS), draw(CRLF), draw(TRAILERS), draw(CRLF)]
    return b"".join(out)


NASTY = st.sampled_from([
    b"\0", b"\t", b"\n", b"\x0b", b"\r", b"\r\n", b"\r\n\r\n", b" ", b":", b",", b";", b'"', b"%", b"#", b"@",
    b"\x7f",
    b"\x80", b"\xff", b"0", b"chunked", b"\r\nContent-Length: 1", b"\r\nTransfer-Encoding: chunked", b"\r\n ",
])  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """A message after up to three small steps: a piece put in, taken out, doubled, replaced, or cut off."""
    data = draw(messages)
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 4))
        match draw(st.integers(0, 4)):
            case 0:
                data = data[:at] + draw(NASTY) + data[at:]
            case 1:
                data = data[:at] + data[at + size :]
            case 2:
                data = data[:at] + data[at : at + size * 8] + data[at:]
            case 3:
                data = data[:at] + draw(NASTY) + data[at + size :]
            case _:
                data = data[:at]
    return data
