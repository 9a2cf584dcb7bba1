"""What the proxy does to headers, seen from both ends: hop-by-hop fields, Via, forwarding, ids, edits of a route.

Invariant: each test looks at the whole list of header lines at the other end, so that what is doubled or left over
is seen as well as what is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.client import Response, connect
from tests.support.origin import Origin, Request, request, response
from tests.support.running import running

Lines = list[tuple[bytes, bytes]]
OWN = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-request-id", b"via")
"""What the proxy adds to a request by default."""
TRUSTED = "trusted_proxies: [127.0.0.0/8]\n"


def config(origin: Origin, *, top: str = "", route: str = "") -> str:
    """One route to the origin; `top` goes to the top level, `route` into the route."""
    extra = f", {route}" if route else ""
    return f"{top}upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app{extra}}}]\n"


def request_of(lines: Iterable[bytes], target: bytes = b"/", host: bytes = b"example.com") -> bytes:
    return b"\r\n".join([b"GET %s HTTP/1.1" % target, b"Host: " + host, *lines, b"", b""])


async def exchange(
    *lines: bytes, top: str = "", route: str = "", host: bytes = b"example.com", answer: bytes = response()
) -> tuple[Request, Response]:
    """One request with these header lines: as the origin sees it, and as the client sees the response."""
    async with (
        Origin([request(), answer]) as origin,
        running(config(origin, top=top, route=route)) as proxy,
        connect(proxy.address) as client,
    ):
        got = await client.request(request_of(lines, host=host))
        return origin.requests[0], got


def without(headers: Lines, *names: bytes) -> Lines:
    return [line for line in headers if line[0] not in names]


# --- hop-by-hop -----------------------------------------------------------------------------------------


HOP_BY_HOP = [
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authorization: Basic eA==",
    b"TE: trailers",
    b"Proxy: http://evil",
    b"Upgrade: h2c",
]


@pytest.mark.parametrize("line", HOP_BY_HOP, ids=lambda line: line.partition(b":")[0].decode())
async def test_hop_by_hop_headers_do_not_reach_the_backend(line: bytes) -> None:
    seen, _ = await exchange(b"A: 1", line, b"B: 2")
    assert without(seen.headers, *OWN) == [(b"host", b"example.com"), (b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize(
    "named",
    [
        [b"Connection: close, X-Mine", b"X-Mine: 1"],
        [b"X-Mine: 1", b"Connection: x-mine"],
        [b"Connection: a-b ,\tX-MINE,", b"X-Mine: 1", b"x-mine: 2"],
        [b"Connection: keep-alive", b"X-Mine: 1", b"Connection: X-Mine"],
        [b"Connection: cookie", b"Cookie: a=b"],
        [b"Connection: authorization, x-mine", b"X-Mine: 3", b"Authorization: Basic eA=="],
    ],
)
async def test_what_connection_names_does_not_reach_the_backend(named: list[bytes]) -> None:
    seen, _ = await exchange(b"A: 1", *named, b"B: 2")
    assert without(seen.headers, *OWN) == [(b"host", b"example.com"), (b"a", b"1"), (b"b", b"2")]


@pytest.mark.parametrize("name", [b"Host", b"Content-Length", b"X-Forwarded-For", b"Via", b"X-Request-ID"])
async def test_connection_cannot_name_what_the_proxy_answers_for(name: bytes) -> None:
    seen, _ = await exchange(b"Connection: " + name, b"Content-Length: 0", b"X-Forwarded-For: 192.0.2.1")
    assert seen.header(b"host") == b"example.com"
    assert seen.header(b"x-forwarded-for") == b"127.0.0.1"
    assert seen.header(b"content-length") == b"0"
    assert seen.header(b"via") is not None
    assert seen.header(b"x-request-id") is not None


async def test_connection_cannot_take_away_the_framing_of_a_body() -> None:
    async with (
        Origin([request(), response()], forever=True) as origin,
        running(config(origin)) as proxy,
        connect(proxy.address) as client,
    ):
        await client.request(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: content-length\r\nContent-Length: 3\r\n\r\nabc"
        )
        await client.request(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: transfer-encoding\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n"
        )
        assert [each.body for each in origin.requests] == [b"abc", b"def"]


@pytest.mark.parametrize(
    "lines",
    [
        [b"Keep-Alive: timeout=5"],
        [b"Proxy-Connection: close"],
        [b"Proxy-Authenticate: Basic"],
        [b"Upgrade: h2c", b"Connection: upgrade"],
        [b"Connection: X-Mine", b"X-Mine: 1"],
        [b"X-Mine: 1", b"Connection: keep-alive, x-mine"],
    ],
)
async def test_hop_by_hop_headers_do_not_reach_the_client(lines: list[bytes]) -> None:
    _, got = await exchange(answer=response(b"body", headers=[b"A: 1", *lines, b"B: 2"]))
    assert got.headers == [(b"a", b"1"), (b"b", b"2"), (b"content-length", b"4")]
    assert got.body == b"body"


async def test_a_response_cannot_lose_its_framing_to_connection() -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 4\r\n\r\nbody"
    _, got = await exchange(answer=answer)
    assert (got.header(b"content-length"), got.body) == (b"4", b"body")


async def test_end_to_end_headers_pass_as_they_are() -> None:
    mine = [b"Accept: */*", b"Cookie: a=b", b"Cookie: c=d", b"X-Empty:", b"X-Bytes: \xe9\xff", b"User-Agent: x/1"]
    seen, got = await exchange(
        *mine, answer=response(headers=[b"Set-Cookie: a=b", b"Set-Cookie: c=d", b"Server: origin"])
    )
    assert without(seen.headers, *OWN) == [
        (b"host", b"example.com"),
        (b"accept", b"*/*"),
        (b"cookie", b"a=b"),
        (b"cookie", b"c=d"),
        (b"x-empty", b""),
        (b"x-bytes", b"\xe9\xff"),
        (b"user-agent", b"x/1"),
    ]
    assert got.all(b"set-cookie") == [b"a=b", b"c=d"]
    assert got.header(b"server") == b"origin"


# --- Via and ids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "lines", "expected"),
    [
        ("", [], [b"1.1 qantara"]),
        ("", [b"Via: 1.0 fred"], [b"1.0 fred", b"1.1 qantara"]),
        ("via: edge-7\n", [], [b"1.1 edge-7"]),
        ("via: null\n", [], []),
        ("via: null\n", [b"Via: 1.0 fred"], [b"1.0 fred"]),
    ],
)
async def test_via(top: str, lines: list[bytes], expected: list[bytes]) -> None:
    seen, _ = await exchange(*lines, top=top)
    assert seen.all(b"via") == expected


async def test_via_names_the_version_that_was_received() -> None:
    async with (
        Origin([request(), response()]) as origin,
        running(config(origin)) as proxy,
        connect(proxy.address) as client,
    ):
        await client.send(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        await client.read_to_end()
        assert origin.requests[0].header(b"via") == b"1.0 qantara"


async def test_a_request_id_is_made_for_each_request() -> None:
    async with (
        Origin([request(), response()], forever=True) as origin,
        running(config(origin)) as proxy,
        connect(proxy.address) as client,
    ):
        for _ in range(20):
            await client.request(request_of([]))
        ids = [each.header(b"x-request-id") or b"" for each in origin.requests]
        assert len(set(ids)) == 20
        assert all(re.fullmatch(rb"[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize("value", [b"a", b"0af7651916cd43dd8448eb211c80319c", b"req-1_2.3~4+5/6=7:8@9", b"x" * 128])
async def test_a_request_id_is_kept(value: bytes) -> None:
    seen, _ = await exchange(b"X-Request-ID: " + value)
    assert seen.header(b"x-request-id") == value


@pytest.mark.parametrize("value", [b"", b"a b", b"x" * 129, b'"', b"a,b", b"<script>", b"\xe9", b"a;b", b"${x}"])
async def test_a_bad_request_id_is_replaced(value: bytes) -> None:
    seen, _ = await exchange(b"X-Request-ID: " + value)
    assert re.fullmatch(rb"[0-9a-f]{32}", seen.header(b"x-request-id") or b"")


async def test_a_second_request_id_is_not_passed_on() -> None:
    seen, _ = await exchange(b"X-Request-ID: first", b"X-Request-ID: second")
    assert seen.header(b"x-request-id") == b"first"


async def test_trace_context_is_not_touched() -> None:
    parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    seen, _ = await exchange(b"traceparent: " + parent, b"tracestate: a=1", b"tracestate: b=2", b"baggage: k=v")
    assert seen.header(b"traceparent") == parent
    assert seen.all(b"tracestate") == [b"a=1", b"b=2"]
    assert seen.header(b"baggage") == b"k=v"


# --- forwarding headers ---------------------------------------------------------------------------------

CLAIMS = [
    b"X-Forwarded-For: 192.0.2.1",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil.example",
    b"X-Forwarded-Port: 443",
    b"X-Real-IP: 192.0.2.1",
    b"Forwarded: for=192.0.2.1;proto=https",
]
FORWARDING = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip", "forwarded")


def forwarding(seen: Request) -> dict[str, list[str]]:
    """All forwarding headers of a request, absent ones left out."""
    found = {name: [value.decode("latin-1") for value in seen.all(name.encode())] for name in FORWARDING}
    return {name: values for name, values in found.items() if values}


WITH_UNDERSCORES = [
    b"X_Forwarded_For: 192.0.2.1",
    b"X-Forwarded_For: 192.0.2.1",
    b"x_forwarded_proto: https",
    b"X-Forwarded_Proto: https",
    b"X_FORWARDED-HOST: evil.example",
    b"X_Forwarded_Port: 443",
    b"X_Real_IP: 192.0.2.1",
    b"X-Real_Ip: 192.0.2.1",
]


@pytest.mark.parametrize("mode", ["x-forwarded", "rfc7239", "both", "none"])
async def test_a_stranger_is_not_believed_with_underscores(mode: str) -> None:
    """CGI and WSGI read an underscore as a hyphen: X_Real_IP is X-Real-IP to the app behind the backend."""
    seen, _ = await exchange(b"X_Mine: 1", *WITH_UNDERSCORES, b"X_Other: 2", top=f"forwarded: {mode}\n")
    assert [name for name, _ in seen.headers if b"_" in name] == [b"x_mine", b"x_other"]
    assert not any(b"192.0.2.1" in value or b"evil" in value for _, value in seen.headers)


X_OWN = {
    "x-forwarded-for": ["127.0.0.1"],
    "x-forwarded-proto": ["http"],
    "x-forwarded-host": ["example.com"],
}
ELEMENT = 'for=127.0.0.1;proto=http;host="example.com"'


@pytest.mark.parametrize("claims", [[], CLAIMS], ids=["nothing", "claims"])
@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("x-forwarded", X_OWN),
        ("rfc7239", {"forwarded": [ELEMENT]}),
        ("both", {**X_OWN, "forwarded": [ELEMENT]}),
        ("none", {}),
    ],
)
async def test_a_stranger_is_not_believed(mode: str, expected: dict[str, list[str]], claims: list[bytes]) -> None:
    seen, _ = await exchange(*claims, top=f"forwarded: {mode}\n")
    assert forwarding(seen) == expected


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (
            "x-forwarded",
            {
                "x-forwarded-for": ["192.0.2.1, 127.0.0.1"],
                "x-forwarded-proto": ["https"],
                "x-forwarded-host": ["evil.example"],
                "x-forwarded-port": ["443"],
                "x-real-ip": ["192.0.2.1"],
            },
        ),
        (
            "both",
            {
                "x-forwarded-for": ["192.0.2.1, 127.0.0.1"],
                "x-forwarded-proto": ["https"],
                "x-forwarded-host": ["evil.example"],
                "x-forwarded-port": ["443"],
                "x-real-ip": ["192.0.2.1"],
                "forwarded": [f"for=192.0.2.1;proto=https, {ELEMENT}"],
            },
        ),
    ],
)
async def test_a_trusted_proxy_is_believed(mode: str, expected: dict[str, list[str]]) -> None:
    seen, _ = await exchange(*CLAIMS, top=f"forwarded: {mode}\n{TRUSTED}")
    assert forwarding(seen) == expected


async def test_a_trusted_proxy_that_says_nothing_is_as_anybody() -> None:
    seen, _ = await exchange(top=TRUSTED)
    assert forwarding(seen) == X_OWN


async def test_without_forwarding_of_its_own_the_proxy_passes_on_what_a_trusted_one_said() -> None:
    seen, _ = await exchange(*CLAIMS, top=f"forwarded: none\n{TRUSTED}")
    assert forwarding(seen) == {
        line.partition(b":")[0].decode().lower(): [line.partition(b": ")[2].decode()] for line in CLAIMS
    }


async def test_two_lines_of_a_trusted_proxy_become_one() -> None:
    seen, _ = await exchange(b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: 192.0.2.2", top=TRUSTED)
    assert seen.header(b"x-forwarded-for") == b"192.0.2.1, 192.0.2.2, 127.0.0.1"


async def test_another_network_is_a_stranger() -> None:
    seen, _ = await exchange(*CLAIMS, top="trusted_proxies: [10.0.0.0/8, fd00::/8]\n")
    assert forwarding(seen) == X_OWN


@pytest.mark.parametrize("trusted", ["", "trusted_proxies: ['::1']\n"], ids=["stranger", "trusted"])
async def test_ipv6(trusted: str) -> None:
    top = f"forwarded: both\nlisteners: [{{bind: '[::1]:0'}}]\n{trusted}"
    seen, _ = await exchange(b"X-Forwarded-For: 2001:db8::1", top=top)
    before = ("2001:db8::1, ", 'for="[2001:db8::1]", ') if trusted else ("", "")
    assert seen.header(b"x-forwarded-for") == f"{before[0]}::1".encode()
    assert seen.header(b"forwarded") == f'{before[1]}for="[::1]";proto=http;host="example.com"'.encode()


async def test_an_ipv4_client_of_an_ipv6_socket_is_named_as_ipv4() -> None:
    async with (
        Origin([request(), response()]) as origin,
        running(config(origin, top=f"listeners: [{{bind: ':0'}}]\n{TRUSTED}")) as proxy,
        connect(("127.0.0.1", int(proxy.address[1]))) as client,
    ):
        await client.request(request_of([b"X-Forwarded-For: 192.0.2.1"]))
        assert origin.requests[0].header(b"x-forwarded-for") == b"192.0.2.1, 127.0.0.1"


async def test_the_host_is_that_of_an_absolute_target() -> None:
    async with (
        Origin([request(), response()]) as origin,
        running(config(origin, top="forwarded: both\n")) as proxy,
        connect(proxy.address) as client,
    ):
        await client.request(request_of([], target=b"http://a.example:81/x", host=b"b.example"))
        seen = origin.requests[0]
        assert (seen.target, seen.header(b"host")) == (b"/x", b"a.example:81")
        assert seen.header(b"x-forwarded-host") == b"a.example:81"
        assert seen.header(b"forwarded") == b'for=127.0.0.1;proto=http;host="a.example:81"'


# --- edits of a route -----------------------------------------------------------------------------------

EDITS = "{set: {X-Set: new, User-Agent: q}, append: {X-Append: more}, remove: [X-Gone, Referer]}"


async def test_request_headers_are_edited() -> None:
    lines = [b"x-SET: old", b"X-Set: older", b"User-Agent: x", b"X-Append: some", b"X-GONE: 1", b"Referer: r", b"K: 1"]
    seen, _ = await exchange(*lines, route=f"request_headers: {EDITS}")
    assert without(seen.headers, *OWN) == [
        (b"host", b"example.com"),
        (b"x-append", b"some"),
        (b"k", b"1"),
        (b"x-set", b"new"),
        (b"user-agent", b"q"),
        (b"x-append", b"more"),
    ]


async def test_response_headers_are_edited() -> None:
    lines = [b"x-SET: old", b"X-Append: some", b"X-GONE: 1", b"x-gone: 2", b"K: 1"]
    _, got = await exchange(
        route="response_headers: {set: {X-Set: new}, append: {X-Append: more}, remove: [X-Gone]}",
        answer=response(b"body", headers=lines),
    )
    assert without(got.headers, b"content-length") == [
        (b"x-append", b"some"),
        (b"k", b"1"),
        (b"x-set", b"new"),
        (b"x-append", b"more"),
    ]
    assert got.body == b"body"


async def test_edits_of_an_absent_header() -> None:
    seen, got = await exchange(route=f"request_headers: {EDITS}, response_headers: {{set: {{A: '1'}}, remove: [B]}}")
    assert seen.all(b"x-set") == [b"new"]
    assert seen.all(b"x-append") == [b"more"]
    assert got.all(b"a") == [b"1"]


async def test_the_host_can_be_set() -> None:
    seen, _ = await exchange(route="request_headers: {set: {Host: inner.example}}")
    assert seen.header(b"host") == b"inner.example"
    assert seen.header(b"x-forwarded-host") == b"example.com"


async def host_for_http_1_0(path: str | None, route: str = "", sent: bytes = b"") -> tuple[Request, str]:
    """The request that a backend sees of an HTTP/1.0 client that sends `sent` for a Host, and its address."""
    async with (
        Origin([request(), response()], path=path) as origin,
        running(config(origin, route=route)) as proxy,
        connect(proxy.address) as client,
    ):
        await client.send(b"GET / HTTP/1.0\r\n%b\r\n" % sent)
        await client.read_to_end()
        return origin.requests[0], origin.address


async def test_http_1_0_without_a_host_gets_that_of_the_backend(tmp_path: Path) -> None:
    seen, address = await host_for_http_1_0(None)
    assert seen.header(b"host") == address.encode()
    seen, _ = await host_for_http_1_0(str(tmp_path / "s"))
    assert seen.header(b"host") == b"localhost"


@pytest.mark.parametrize("sent", [b"", b"Host: outer.example\r\n"], ids=["no host", "host"])
async def test_there_is_one_host_if_a_route_sets_it_for_http_1_0(sent: bytes) -> None:
    seen, _ = await host_for_http_1_0(None, "request_headers: {set: {Host: inner.example}}", sent)
    assert seen.all(b"host") == [b"inner.example"]


@pytest.mark.parametrize(
    "name", ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via", "X-Request-ID", "Forwarded"]
)
async def test_a_route_has_the_last_word_on_what_the_proxy_adds(name: str) -> None:
    lower = name.lower().encode()
    seen, _ = await exchange(top="forwarded: both\n", route=f"request_headers: {{set: {{{name}: mine}}}}")
    assert seen.all(lower) == [b"mine"]
    seen, _ = await exchange(top="forwarded: both\n", route=f"request_headers: {{remove: [{name}]}}")
    assert seen.all(lower) == []


async def test_edits_hold_for_errors_of_the_backend_and_not_for_other_routes() -> None:
    async with Origin([request(), response(status=b"500 No")], forever=True) as origin:
        yaml = (
            f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\n"
            "routes: [{path: /a, upstream: app, response_headers: {set: {X-A: '1'}}}, {upstream: app}]\n"
        )
        async with running(yaml) as proxy, connect(proxy.address) as client:
            with_edits = await client.request(request_of([], b"/a"))
            without_edits = await client.request(request_of([], b"/b"))
        assert (with_edits.status, with_edits.all(b"x-a")) == (500, [b"1"])
        assert (without_edits.status, without_edits.all(b"x-a")) == (500, [])


# --- Max-Forwards (RFC 9110 7.6.2) ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "came", "goes"),
    [
        (b"OPTIONS", b"5", b"4"),
        (b"OPTIONS", b"1", b"0"),
        (b"GET", b"5", b"5"),
        (b"GET", b"0", b"0"),
    ],
)
async def test_max_forwards_is_counted_down_for_options(method: bytes, came: bytes, goes: bytes) -> None:
    async with (
        Origin([request(), response()]) as origin,
        running(config(origin)) as proxy,
        connect(proxy.address) as client,
    ):
        await client.request(b"%b /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: %b\r\n\r\n" % (method, came), method)
        assert origin.requests[0].header(b"max-forwards") == goes


async def test_at_zero_the_proxy_answers_options_itself() -> None:
    async with (
        Origin() as origin,
        running(config(origin)) as proxy,
        connect(proxy.address) as client,
    ):
        got = await client.request(b"OPTIONS /a HTTP/1.1\r\nHost: x\r\nMax-Forwards: 0\r\n\r\n", b"OPTIONS")
        assert (got.status, got.header(b"proxy-status")) == (200, b'qantara; details="admit.max_forwards"')
        assert got.header(b"allow") is not None
        assert origin.peers == []
