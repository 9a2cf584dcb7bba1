"""What routes do, over sockets: which backend gets which path, redirects, fixed responses, canonical and raw paths.

Invariant: the origin's record tells what was forwarded, byte for byte.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from tests.support.client import Response, connect
from tests.support.origin import Origin, request, response
from tests.support.running import running


def get(target: bytes, host: bytes = b"example.com", method: bytes = b"GET", *lines: bytes) -> bytes:
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *lines, b"", b""])


async def forwarded(target: bytes, route: str = "", method: bytes = b"GET") -> bytes:
    """The target that the origin sees."""
    extra = f", {route}" if route else ""
    async with Origin([request(), response()]) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app{extra}}}]\n"
        async with running(yaml) as proxy, connect(proxy.address) as client:
            got = await client.request(get(target, method=method), method)
            assert got.status == 200
        return origin.requests[0].target


async def answered(yaml: str, data: bytes, method: bytes = b"GET") -> Response:
    async with running(yaml) as proxy, connect(proxy.address) as client:
        return await client.request(data, method)


# --- which route ----------------------------------------------------------------------------------------

ROUTES = """
- {host: www.example.com, upstream: www}
- {host: "*.example.com", path: /api, upstream: wild}
- {path: /api/v1, upstream: deep}
- {path: /api, upstream: api}
- {exact: /api/health, upstream: health}
- {regex: "^/user/[0-9]+$", upstream: user}
- {path: /api, methods: [POST, put], upstream: writes}
- {path: /api, headers: {x-canary: "1"}, upstream: canary}
- {upstream: rest}
"""
NAMES = ("www", "wild", "deep", "api", "health", "user", "writes", "canary", "rest")
REQUESTS = [
    (get(b"/", b"www.example.com"), "www"),
    (get(b"/api", b"WWW.example.com:80"), "www"),
    (get(b"/api", b"x.example.com"), "wild"),
    (get(b"/x", b"x.example.com"), "rest"),
    (get(b"/api/v1/x"), "deep"),
    (get(b"/api/v1x"), "api"),
    (get(b"/api/health"), "health"),
    (get(b"/api/health/x"), "api"),
    (get(b"/user/7"), "user"),
    (get(b"/user/x"), "rest"),
    (get(b"/"), "rest"),
    (get(b"/apix"), "rest"),
    (get(b"/x/..//%61pi"), "api"),
    (get(b"http://www.example.com/x", b"other"), "www"),
]


async def test_each_request_reaches_its_upstream() -> None:
    async with AsyncExitStack() as stack:
        origins = {
            name: await stack.enter_async_context(Origin([request(), response(name.encode())], forever=True))
            for name in NAMES
        }
        upstreams = ", ".join(f"{name}: {{backends: ['{o.address}']}}" for name, o in origins.items())
        # the two that only differ by a condition stand first: of equal paths the first that accepts wins
        lines = ROUTES.strip().splitlines()
        ordered = "\n".join([*lines[6:8], *lines[:6], *lines[8:]])
        yaml = f"upstreams: {{{upstreams}}}\nroutes:\n{ordered}\n"
        proxy = await stack.enter_async_context(running(yaml))
        client = await stack.enter_async_context(connect(proxy.address))
        found = [(await client.request(data)).body.decode() for data, _ in REQUESTS]
        assert found == [name for _, name in REQUESTS]
        write = await client.request(get(b"/api/x", b"example.com", b"PUT", b"Content-Length: 0"), b"PUT")
        canary = await client.request(get(b"/api/x", b"example.com", b"GET", b"X-Canary: 1"))
        assert (write.body, canary.body) == (b"writes", b"canary")


async def test_no_route_is_404_with_a_reason() -> None:
    got = await answered("routes: [{path: /a, respond: {}}]\n", get(b"/b"))
    assert got.status == 404
    assert got.header(b"proxy-status") == b'qantara; error=destination_not_found; details="route.no_route"'


# --- canonical and raw paths ----------------------------------------------------------------------------

CANONICAL = [
    (b"/a/b?x=1", b"/a/b?x=1"),
    (b"/a/../b", b"/b"),
    (b"/a/%2e%2E/b", b"/b"),
    (b"/a/./b/.", b"/a/b/"),
    (b"//a///b", b"/a/b"),
    (b"/%41%7e%2D", b"/A~-"),
    (b"/a%2fb", b"/a%2Fb"),
    (b"/a%2e", b"/a."),
    (b"/a%20b%c3%a9", b"/a%20b%C3%A9"),
    (b"/a?b=/../%2e//%41", b"/a?b=/../%2e//%41"),
    (b"/?", b"/?"),
    (b"http://example.com", b"/"),
    (b"http://example.com?q", b"/?q"),
    (b"http://example.com/a/../b?q", b"/b?q"),
]


@pytest.mark.parametrize(("target", "expected"), CANONICAL)
async def test_the_backend_gets_the_canonical_path(target: bytes, expected: bytes) -> None:
    assert await forwarded(target) == expected


@pytest.mark.parametrize("target", [b"/..", b"/a/../..", b"/%2e%2e/etc/passwd", b"/a%", b"/a%0", b"/a%zz", b"/a%00"])
async def test_a_path_without_canonical_form_is_refused(target: bytes) -> None:
    got = await answered("routes: [{respond: {}}]\n", get(target))
    assert got.status == 400
    assert got.header(b"proxy-status") == b'qantara; error=http_request_error; details="accept.bad_target"'


RAW = [
    (b"/a/../b", b"/a/../b"),
    (b"//a/%2e%2e/%41%2f?x=%41", b"//a/%2e%2e/%41%2f?x=%41"),
    (b"/?", b"/?"),
    (b"http://example.com/a/../b?q", b"/a/../b?q"),
    (b"http://example.com", b"/"),
    (b"http://example.com?/admin", b"/?/admin"),
    (b"http://example.com?a=http://b/c", b"/?a=http://b/c"),
    (b"http://example.com/a?/b", b"/a?/b"),
]


@pytest.mark.parametrize(("target", "expected"), RAW)
async def test_the_backend_gets_the_raw_path(target: bytes, expected: bytes) -> None:
    assert await forwarded(target, "forward_path: raw") == expected


async def test_a_slash_in_a_query_is_no_path() -> None:
    """The path that is forwarded is the path that was routed: a route that denies cannot be passed by."""
    async with Origin([request(), response()], forever=True) as origin:
        yaml = (
            f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\n"
            "routes: [{path: /admin, respond: {status: 403}}, {upstream: app, forward_path: raw}]\n"
        )
        async with running(yaml) as proxy, connect(proxy.address) as client:
            for target in (b"/admin", b"http://example.com/admin?/x"):
                assert (await client.request(get(target))).status == 403
            assert (await client.request(get(b"http://example.com?/admin"))).status == 200
        assert [seen.target for seen in origin.requests] == [b"/?/admin"]


async def test_options_for_the_whole_server() -> None:
    assert await forwarded(b"*", method=b"OPTIONS") == b"*"
    assert await forwarded(b"*", "forward_path: raw", b"OPTIONS") == b"*"


# --- prefixes -------------------------------------------------------------------------------------------

STRIP = "path: /api, strip_prefix: /api"
REPLACE = "path: /old/app, replace_prefix: {from: /old, to: /new}"


@pytest.mark.parametrize(
    ("route", "target", "expected"),
    [
        (STRIP, b"/api", b"/"),
        (STRIP, b"/api/", b"/"),
        (STRIP, b"/api?x=1", b"/?x=1"),
        (STRIP, b"/api/users/1?x=/api", b"/users/1?x=/api"),
        (STRIP, b"/%61pi/x", b"/x"),
        (STRIP, b"//api//x", b"/x"),
        (STRIP, b"/api/api/x", b"/api/x"),
        (STRIP, b"/api/%2e%2e/api/x", b"/x"),
        ("path: /a/b, strip_prefix: /a", b"/a/b/c", b"/b/c"),
        ("path: /api/, strip_prefix: /api/", b"/api/x", b"/x"),
        ("path: /api, strip_prefix: /", b"/api/x", b"/api/x"),
        ("path: /%61pi, strip_prefix: /%61pi", b"/api/x", b"/x"),
        ("exact: /api/x, strip_prefix: /api", b"/api/x", b"/x"),
        ("regex: '^/(api|app)/', strip_prefix: /api", b"/api/x", b"/x"),
        ("regex: '^/(api|app)/', strip_prefix: /api", b"/app/x", b"/app/x"),
        ("regex: '^/ap', strip_prefix: /ap", b"/api/x", b"/api/x"),
        (REPLACE, b"/old/app/x?q", b"/new/app/x?q"),
        (REPLACE, b"/old/app", b"/new/app"),
        ("path: /old, replace_prefix: {from: /old, to: /}", b"/old", b"/"),
        ("path: /old, replace_prefix: {from: /old, to: /}", b"/old/x", b"/x"),
        ("path: /old, replace_prefix: {from: /old, to: /new/}", b"/old/x", b"/new/x"),
        ("path: /old/, replace_prefix: {from: /old/, to: /new}", b"/old/x", b"/new/x"),
        ("path: /old, replace_prefix: {from: /old, to: /new}", b"/old", b"/new"),
        ("replace_prefix: {from: /, to: /base}", b"/x", b"/base/x"),
    ],
)
async def test_prefixes(route: str, target: bytes, expected: bytes) -> None:
    assert await forwarded(target, route) == expected


@pytest.mark.parametrize("target", [b"/api//evil.example", b"/api/%2F/evil.example", b"/api/.//x"])
async def test_a_stripped_path_never_begins_with_two_slashes(target: bytes) -> None:
    assert not (await forwarded(target, STRIP)).startswith(b"//")


# --- redirects ------------------------------------------------------------------------------------------


async def redirected(to: str, data: bytes, method: bytes = b"GET", status: int = 308) -> Response:
    return await answered(f"routes: [{{redirect: {{to: '{to}', status: {status}}}}}]\n", data, method)


@pytest.mark.parametrize(
    ("to", "target", "location"),
    [
        ("https://{host}{path}{query}", b"/a?b=c", b"https://example.com/a?b=c"),
        ("https://{host}{path}{query}", b"/a", b"https://example.com/a"),
        ("https://new.example{path}", b"/a/../b?q", b"https://new.example/b"),
        ("https://new.example/", b"/x", b"https://new.example/"),
        ("/login{query}", b"/x?next=%0d%0a", b"/login?next=%0d%0a"),
        ("{path}/", b"/dir", b"/dir/"),
        ("{path}/", b"//evil.example", b"/evil.example/"),
        ("https://{host}{path}", b"/{query}/{host}?x", b"https://example.com/{query}/{host}"),
        ("https://{host}{path}{query}", b"/a%20b?{host}", b"https://example.com/a%20b?{host}"),
    ],
)
async def test_redirect(to: str, target: bytes, location: bytes) -> None:
    got = await redirected(to, get(target))
    assert (got.status, got.header(b"location"), got.body) == (308, location, b"")
    assert got.header(b"proxy-status") == b'qantara; details="route.redirect"'


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_status(status: int) -> None:
    got = await redirected("https://x/", get(b"/"), status=status)
    assert (got.status, got.header(b"content-length")) == (status, b"0")


async def test_redirect_keeps_the_port_of_the_host() -> None:
    got = await redirected("https://{host}{path}", get(b"/x", b"Example.com:8080"))
    assert got.header(b"location") == b"https://Example.com:8080/x"


@pytest.mark.parametrize(
    "data",
    [
        get(b"/\r\nSet-Cookie:a=b"),
        get(b"/\nSet-Cookie:a=b"),
        get(b"/?a\rb"),
        get(b"/?a\x00b"),
        get(b"/", b"x\nSet-Cookie: a=b"),
        get(b"/", b"x\rSet-Cookie: a=b"),
        get(b"/", b"x/../y"),
        get(b"/", b"user@evil"),
        get(b"http://x\nSet-Cookie:a/"),
    ],
)
async def test_nothing_gets_into_a_redirect_that_is_no_header_value(data: bytes) -> None:
    got = await redirected("https://{host}{path}{query}", data)
    assert got.status == 400
    assert got.all(b"location") == got.all(b"set-cookie") == []


@pytest.mark.parametrize("target", [b"/?a%0d%0aSet-Cookie:%20a=b", b"/%0d%0aSet-Cookie:%20a=b"])
async def test_encoded_line_ends_stay_encoded(target: bytes) -> None:
    got = await redirected("https://{host}{path}{query}", get(target))
    location = got.header(b"location") or b""
    assert (got.status, got.all(b"set-cookie")) == (308, [])
    assert location.lower() == b"https://example.com" + target.lower()


async def test_redirect_of_options_for_the_whole_server() -> None:
    got = await redirected("https://{host}{path}", get(b"*", method=b"OPTIONS"), b"OPTIONS")
    assert got.header(b"location") in (b"https://example.com", b"https://example.com/")


# --- fixed responses ------------------------------------------------------------------------------------


async def test_respond() -> None:
    yaml = (
        "routes: [{respond: {status: 418, body: 'grüße', content_type: 'text/plain; charset=utf-8',"
        " headers: {X-A: '1', Cache-Control: no-store}}}]\n"
    )
    got = await answered(yaml, get(b"/"))
    assert (got.status, got.body) == (418, "grüße".encode())
    assert got.header(b"content-type") == b"text/plain; charset=utf-8"
    assert got.header(b"x-a") == b"1"
    assert got.header(b"cache-control") == b"no-store"
    assert got.header(b"date") is not None
    assert got.header(b"proxy-status") == b'qantara; details="route.fixed"'


@pytest.mark.parametrize(
    "yaml",
    [
        "routes: [{respond: {body: hello}}]\n",
        "routes: [{redirect: {to: 'https://{host}{path}'}}]\n",
        "routes: [{path: /other, respond: {}}]\n",
    ],
    ids=["respond", "redirect", "no route"],
)
async def test_head_gets_the_head_of_get(yaml: str) -> None:
    async with running(yaml) as proxy, connect(proxy.address) as client:
        await client.send(get(b"/") + get(b"/", method=b"HEAD") + get(b"/"))
        first, head, last = [await client.response(method) for method in (b"GET", b"HEAD", b"GET")]
    varying = (b"date", b"content-length") if first.status == 404 else (b"date",)  # the id in the body differs
    assert head.body == b""
    assert head.status == first.status == last.status
    assert [h for h in head.headers if h[0] not in varying] == [h for h in first.headers if h[0] not in varying]
    assert head.header(b"content-length") == str(len(first.body)).encode()


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body(status: int) -> None:
    async with (
        running(f"routes: [{{respond: {{status: {status}}}}}]\n") as proxy,
        connect(proxy.address) as client,
    ):
        await client.send(get(b"/") + get(b"/"))
        for _ in range(2):
            got = await client.response()
            assert (got.status, got.body) == (status, b"")
            assert got.all(b"content-length") == got.all(b"transfer-encoding") == []


async def test_a_fixed_response_to_a_request_with_a_body() -> None:
    """The body is read past, so that the next request on the connection is not mistaken for it, or it is closed."""
    async with running("routes: [{respond: {body: hello}}]\n") as proxy, connect(proxy.address) as client:
        await client.send(get(b"/", b"x", b"POST", b"Content-Length: 5") + b"abcde" + get(b"/"))
        assert (await client.response(b"POST")).body == b"hello"
        assert (await client.response()).body == b"hello"


@pytest.mark.parametrize("yaml", ["routes: [{respond: {body: x}}]\n", "routes: [{redirect: {to: /x}}]\n"])
async def test_http10(yaml: str) -> None:
    async with running(yaml) as proxy, connect(proxy.address) as client:
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        kept = await client.response()
        assert (kept.header(b"connection") or b"").lower() == b"keep-alive"
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        last = await client.response()
        assert (last.header(b"connection") or b"").lower() == b"close"
        assert await client.closed()
