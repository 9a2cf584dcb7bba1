"""What a backend gets: exact bytes."""

from __future__ import annotations

import re

import pytest

from proxy.http1 import codec
from proxy.http1.codec import HeaderEdits, RequestHead, mask_of, seed_ids

from .cases_request import ACCEPTS
from .wire import named

NO_ID = mask_of(codec.X_REQUEST_ID)


def forward(
    data: bytes,
    *,
    path: bytes | None = None,
    block: bytes = b"",
    drop: int = NO_ID,
    forwarded_host: bool = False,
    upgrade: bool = False,
    edits: HeaderEdits | None = None,
) -> bytes:
    """Parse and forward, twice: a retry must send the same bytes."""
    head = RequestHead()
    assert head.parse(data + b"body", 0) == len(data)
    sent = head.forward(path, block, drop, forwarded_host, upgrade, edits)
    assert head.forward(path, block, drop, forwarded_host, upgrade, edits) == sent
    return sent


def get(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"".join(line + b"\r\n" for line in (b"GET " + target + b" HTTP/1.1", b"Host: a", *lines, b""))


def same(name: str, data: bytes) -> tuple[str, bytes, bytes]:
    """A row for what is forwarded as it stands."""
    return name, data, data


HOP_BY_HOP: list[tuple[str, bytes, bytes]] = [
    ("nothing", get(b"A: b"), get(b"A: b")),
    ("connection_close", get(b"Connection: close", b"A: b"), get(b"A: b")),
    ("connection_last", get(b"A: b", b"Connection: keep-alive"), get(b"A: b")),
    ("connection_between", get(b"A: b", b"Connection: close", b"C: d"), get(b"A: b", b"C: d")),
    ("connection_any_case", get(b"CONNECTION: Close"), get()),
    ("keep_alive", get(b"Keep-Alive: timeout=5"), get()),
    ("proxy_connection", get(b"Proxy-Connection: keep-alive"), get()),
    ("proxy_authorization", get(b"Proxy-Authorization: Basic eDp5"), get()),
    ("proxy_authenticate", get(b"Proxy-Authenticate: Basic"), get()),
    ("te", get(b"TE: trailers"), get()),
    ("upgrade", get(b"Connection: upgrade", b"Upgrade: h2c"), get()),
    ("upgrade_unnamed", get(b"Upgrade: websocket"), get()),
    ("httpoxy", get(b"Proxy: http://evil"), get()),
    ("named", get(b"Connection: x-a", b"X-A: 1", b"X-B: 2"), get(b"X-B: 2")),
    ("named_any_case", get(b"X-A: 1", b"Connection: close, X-a", b"x-A: 2"), get()),
    ("named_known", get(b"Connection: accept, user-agent", b"Accept: a", b"User-Agent: b"), get()),
    ("named_by_two_lines", get(b"Connection: a", b"A: 1", b"Connection: b", b"B: 2", b"C: 3"), get(b"C: 3")),
    ("named_but_absent", get(b"Connection: x", b"A: b"), get(b"A: b")),
    ("named_prefix_only", get(b"Connection: x-", b"X-A: 1"), get(b"X-A: 1")),
    (
        "named_framing",
        get(b"Connection: host, content-length", b"Content-Length: 2"),
        get(b"Content-Length: 2"),
    ),
    ("trailer_stays", get(b"Trailer: a"), get(b"Trailer: a")),
    ("all_dropped", get(b"Connection: a", b"A: 1", b"A: 2", b"TE: x", b"Keep-Alive: y"), get()),
    ("spacing_is_kept", get(b"A:b", b"C: \t d  ", b"E:"), get(b"A:b", b"C: \t d  ", b"E:")),
    ("trace_context_is_kept", get(b"traceparent: 00-1-2-01"), get(b"traceparent: 00-1-2-01")),
    ("via_is_kept", get(b"Via: 1.1 x"), get(b"Via: 1.1 x")),
    ("empty_line_first", b"\r\n" + get(b"A: b"), get(b"A: b")),
    ("http_1_0", b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", get()),
    ("http_1_0_without_host", b"GET / HTTP/1.0\r\nA: b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \r\nA: b\r\n\r\n"),
    ("http_1_0_bare", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \r\n\r\n"),
    ("absolute", get(target=b"http://B:8/x?y"), b"GET /x?y HTTP/1.1\r\nHost: B:8\r\n\r\n"),
    ("absolute_no_path", get(b"A: b", target=b"http://B"), b"GET / HTTP/1.1\r\nHost: B\r\nA: b\r\n\r\n"),
    ("absolute_query", get(target=b"http://B?y"), b"GET /?y HTTP/1.1\r\nHost: B\r\n\r\n"),
    (
        "absolute_http_1_0",
        b"GET http://B/ HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: B\r\n\r\n",
    ),
    (
        "absolute_options",
        b"OPTIONS http://B HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: B\r\n\r\n",
    ),
    same("options_star", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("canonical", get(target=b"//a/%7e/../b%2f?q=/../%zz"), get(target=b"/a/b%2F?q=/../%zz")),
]


@pytest.mark.parametrize(("data", "expected"), named(HOP_BY_HOP))
def test_hop_by_hop_and_targets(data: bytes, expected: bytes) -> None:
    assert forward(data) == expected


def test_a_new_path_keeps_the_query() -> None:
    assert forward(get(target=b"/api/x?y=1"), path=b"/x") == get(target=b"/x?y=1")
    assert forward(get(target=b"/api//x?y=1"), path=b"/new/x") == get(target=b"/new/x?y=1")
    assert forward(get(target=b"http://a/api?y"), path=b"/") == get(target=b"/?y")
    assert forward(get(target=b"/api"), path=b"/" + b"x" * 5000) == get(target=b"/" + b"x" * 5000)


def test_the_block_and_the_forwarded_host() -> None:
    block = b"Via: 1.1 qantara\r\nX-Forwarded-For: 192.0.2.1\r\n"
    added = b"X-Forwarded-Host: a"
    sent = forward(get(b"A: b"), block=block, forwarded_host=True)
    assert sent == get(b"A: b", b"Via: 1.1 qantara", b"X-Forwarded-For: 192.0.2.1", added)
    sent = forward(get(b"A: b", target=b"http://B:8/"), forwarded_host=True)
    assert sent == b"GET / HTTP/1.1\r\nHost: B:8\r\nA: b\r\nX-Forwarded-Host: B:8\r\n\r\n"
    sent = forward(b"GET / HTTP/1.0\r\n\r\n", forwarded_host=True)
    assert sent == b"GET / HTTP/1.1\r\nHost: \r\n\r\n", "no X-Forwarded-Host without a value"


def test_dropped_headers() -> None:
    drop = NO_ID | mask_of(codec.X_FORWARDED_FOR, codec.X_FORWARDED_PROTO, codec.FORWARDED)
    lines = [
        b"X-Forwarded-For: 6.6.6.6",
        b"A: b",
        b"x-forwarded-proto: https",
        b"FORWARDED: for=x",
        b"X-Real-IP: c",
    ]
    assert forward(get(*lines), drop=drop) == get(b"A: b", b"X-Real-IP: c")


@pytest.mark.parametrize("value", [b"a", b"0-9._~+/=:@Z", b"x" * 128, b" padded "])
def test_a_plain_request_id_is_kept(value: bytes) -> None:
    kept = b"X-Request-ID: " + value.strip()
    assert forward(get(b"x-request-id: " + value, b"A: b"), drop=0) == get(b"A: b", kept)
    assert forward(get(b"X-Request-ID: " + value, b"X-Request-ID: 2"), drop=0) == get(kept)


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b"<script>", b"a;b", b"a,b", b'"', b"\xe9", b"a\tb"])
def test_another_request_id_is_replaced(value: bytes) -> None:
    sent = forward(get(b"X-Request-ID: " + value), drop=0)
    assert re.fullmatch(re.escape(get()[:-2]) + rb"X-Request-ID: [0-9a-f]{32}\r\n\r\n", sent)


def test_request_ids() -> None:
    """One id per request, whoever asks first; different ids for different requests; repeatable by seed."""
    head = RequestHead()
    seen = set()
    for _ in range(1000):
        head.parse(get(), 0)
        identity = head.request_id()
        assert head.request_id() == identity
        assert b"X-Request-ID: " + identity + b"\r\n" in head.forward(None, b"", 0, False, False, None)
        seen.add(identity)
    assert len(seen) == 1000
    made = []
    for _ in range(2):
        seed_ids(b"0123456789abcdef")
        head.parse(get(), 0)
        made.append(head.request_id())
    assert made[0] == made[1]
    seed_ids()
    head.parse(get(), 0)
    assert head.request_id() != made[0]


UPGRADE = b"Upgrade: websocket"


@pytest.mark.parametrize(
    ("lines", "expected"),
    named([
        ("plain", (b"Connection: Upgrade", UPGRADE), (UPGRADE, b"Connection: upgrade")),
        ("with_keep_alive", (b"Connection: keep-alive, Upgrade", UPGRADE), (UPGRADE, b"Connection: upgrade")),
        ("with_more", (b"Connection: Upgrade, x", b"X: 1", UPGRADE), (UPGRADE, b"Connection: upgrade")),
        ("others_dropped", (b"Connection: upgrade", UPGRADE, b"TE: a"), (UPGRADE, b"Connection: upgrade")),
    ]),
)  # fmt: skip
def test_an_upgrade_is_let_through(lines: tuple[bytes, ...], expected: tuple[bytes, ...]) -> None:
    assert forward(get(*lines), upgrade=True) == get(*expected)


EDITS: list[tuple[str, HeaderEdits, bytes, bytes]] = [
    (
        "set_known",
        HeaderEdits(set={b"User-Agent": b"q"}),
        get(b"USER-agent: x", b"A: b"),
        get(b"A: b", b"User-Agent: q"),
    ),
    (
        "set_unknown",
        HeaderEdits(set={b"X-a": b"q"}),
        get(b"x-A: 1", b"B: c", b"X-A: 2"),
        get(b"B: c", b"X-a: q"),
    ),
    ("set_absent", HeaderEdits(set={b"X": b"q"}), get(), get(b"X: q")),
    ("append_known", HeaderEdits(append={b"Via": b"q"}), get(b"Via: x"), get(b"Via: x", b"Via: q")),
    ("append_unknown", HeaderEdits(append={b"X": b"q"}), get(b"X: x"), get(b"X: x", b"X: q")),
    ("remove_known", HeaderEdits(remove=[b"ACCEPT"]), get(b"accept: x", b"A: b"), get(b"A: b")),
    (
        "remove_unknown",
        HeaderEdits(remove=[b"Cookie"]),
        get(b"cookie: x", b"A: b", b"COOKIE: y"),
        get(b"A: b"),
    ),
    ("remove_absent", HeaderEdits(remove=[b"X"]), get(b"XX: a"), get(b"XX: a")),
    (
        "set_host",
        HeaderEdits(set={b"Host": b"q"}),
        get(b"A: b"),
        b"GET / HTTP/1.1\r\nA: b\r\nHost: q\r\n\r\n",
    ),
    (
        "set_host_absolute",
        HeaderEdits(set={b"host": b"q"}),
        get(target=b"http://B/"),
        b"GET / HTTP/1.1\r\nhost: q\r\n\r\n",
    ),
    (
        "set_host_http_1_0",
        HeaderEdits(set={b"Host": b"q"}),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: q\r\n\r\n",
    ),
    (
        "all_at_once",
        HeaderEdits(set={b"A": b"1", b"Referer": b"2"}, append={b"B": b"3"}, remove=[b"C", b"Accept"]),
        get(b"a: x", b"referer: x", b"B: x", b"c: x", b"accept: x", b"D: x", b"Connection: d"),
        get(b"B: x", b"A: 1", b"Referer: 2", b"B: 3"),
    ),
    (
        "more_lines",
        HeaderEdits(set={b"Referer": b"1"}, remove=[b"C"]).plus(((b"Cookie", b"a=b"),), b"cookie"),
        get(b"COOKIE: x", b"referer: x", b"c: x", b"D: x", b"cookie: y"),
        get(b"D: x", b"Referer: 1", b"Cookie: a=b"),
    ),
    ("more_lines_alone", HeaderEdits().plus(((b"B", b"c"),)), get(b"A: b", b"B: b"), get(b"A: b", b"B: b", b"B: c")),
    ("less_alone", HeaderEdits().plus((), b"a"), get(b"A: b", b"B: b"), get(b"B: b")),
    ("nothing", HeaderEdits(), get(b"A: b"), get(b"A: b")),
]


@pytest.mark.parametrize(("edits", "data", "expected"), named(EDITS))
def test_edits(edits: HeaderEdits, data: bytes, expected: bytes) -> None:
    assert forward(data, edits=edits) == expected


def test_further_edits_leave_those_that_they_came_from() -> None:
    edits = HeaderEdits(set={b"A": b"1", b"Via": b"q"})
    before = edits.names, edits.lines, edits.mask
    more = edits.plus(((b"B", b"2"),), b"c")
    assert (edits.names, edits.lines, edits.mask) == before
    assert (more.names, more.lines, more.mask) == ((b"a", b"c"), b"A: 1\r\nVia: q\r\nB: 2\r\n", edits.mask)


def test_an_edited_request_id_is_not_made() -> None:
    edits = HeaderEdits(set={b"X-Request-ID": b"q"})
    assert forward(get(b"X-Request-ID: x"), drop=0, edits=edits) == get(b"X-Request-ID: q")
    assert forward(get(b"X-Request-ID: x"), drop=0, edits=HeaderEdits(remove=[b"x-request-id"])) == get()


@pytest.mark.parametrize(("data", "_"), named(ACCEPTS))
def test_forwarding_is_idempotent(data: bytes, _: object) -> None:
    """What was forwarded once is forwarded as it stands, but for the empty Host that HTTP/1.0 may get."""
    sent = forward(data)
    if b"Host: \r\n" not in sent:
        assert forward(sent) == sent


def test_there_are_never_two_forwarded_hosts() -> None:
    """What a trusted proxy said is kept, what a route sets replaces it, what is dropped is made anew."""
    data = get(b"X-Forwarded-Host: b")
    edits = HeaderEdits(set={b"X-Forwarded-Host": b"c"})
    assert forward(data, forwarded_host=True) == data
    assert forward(data, forwarded_host=True, edits=edits) == get(b"X-Forwarded-Host: c")
    assert forward(get(), forwarded_host=True, edits=edits) == get(b"X-Forwarded-Host: c")
    drop = NO_ID | mask_of(codec.X_FORWARDED_HOST)
    assert forward(data, forwarded_host=True, drop=drop) == get(b"X-Forwarded-Host: a")
