"""Access to the admin API on a TCP address.

Law of this file: a local client or the bearer of the token, and never a web page, with any headers of its browser. The
Unix socket has no guard but its mode.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN = frozenset(("/healthz", "/readyz"))
"""Paths without a token, for load balancers and orchestrators."""
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1", "[::1]"))


def guard(token: str | None) -> Middleware:
    """A middleware. With a token every request needs it; without, the request has to be for a loopback name."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD") and from_page(request):
            return refused(403, "The admin API is not for web pages: the request has an Origin or a Sec-Fetch-Site.")
        if request.path in OPEN:
            return await handler(request)
        if token is not None:
            given = request.headers.get("Authorization", "")
            if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
                return refused(401, "This needs the token: Authorization: Bearer TOKEN.")
        elif host_of(request) not in LOOPBACK:  # a name that was bent to point here (DNS rebinding)
            return refused(403, "Without a token the Host has to be localhost or a loopback address.")
        return await handler(request)

    return check


def from_page(request: web.Request) -> bool:
    """Whether a browser sends it on behalf of a page."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    return "Origin" in request.headers or site != "none"


def host_of(request: web.Request) -> str:
    """The host that was asked for, without the port."""
    host = request.headers.get("Host", "")
    return host[: host.index("]") + 1] if host.startswith("[") and "]" in host else host.partition(":")[0]


def refused(status: int, detail: str) -> web.Response:
    """A problem as RFC 9457 writes it."""
    return web.json_response(
        {"status": status, "detail": detail}, status=status, content_type="application/problem+json"
    )
