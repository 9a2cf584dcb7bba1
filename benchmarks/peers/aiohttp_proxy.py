"""A plain reverse proxy as one writes it with aiohttp: a pooled session, bodies streamed both ways, uvloop.

Run by the interpreter of the peers' environment: aiohttp_proxy.py PORT ORIGIN. Nothing here is Qantara's.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import aiohttp
import uvloop
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
SESSION = web.AppKey("session", aiohttp.ClientSession)
ORIGIN = web.AppKey("origin", str)


async def forward(request: web.Request) -> web.StreamResponse:
    """Send the request on and stream the answer back."""
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP]
    headers.append(("X-Forwarded-For", request.remote or "unknown"))
    async with request.app[SESSION].request(
        request.method,
        request.app[ORIGIN] + request.path_qs,
        headers=headers,
        data=request.content if request.can_read_body else None,
        allow_redirects=False,
    ) as answer:
        response = web.StreamResponse(status=answer.status, reason=answer.reason)
        for name, value in answer.headers.items():
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        await response.prepare(request)
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
        return response


async def session(app: web.Application) -> AsyncIterator[None]:
    """Keep one client session, and with it one connection pool, for the life of the application."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as client:
        app[SESSION] = client
        yield


def main() -> None:
    port, origin = int(sys.argv[1]), sys.argv[2]
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app[ORIGIN] = f"http://{origin}"
    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", forward)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, backlog=4096, print=None,
                loop=uvloop.new_event_loop())  # fmt: skip


if __name__ == "__main__":
    main()
