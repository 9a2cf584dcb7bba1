"""Apps that report their load by the middlewares of proxy/reporting: ASGI and WSGI.

/burn/N   uses N milliseconds of CPU       /status/N   that status       anything else: "ok"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import thread_time
from typing import Any

from proxy.middleware.asgi import LoadReportMiddleware as Asgi
from proxy.middleware.wsgi import LoadReportMiddleware as Wsgi

WINDOW = 0.2
"""Seconds: short, so that a test soon sees what was measured."""


def work(path: str) -> int:
    """Do what the path asks for. Returns the status."""
    kind, _, number = path.strip("/").partition("/")
    if kind == "burn":
        until = thread_time() + int(number) / 1e3
        while thread_time() < until:
            pass
    return int(number) if kind == "status" else 200


async def _asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        status = work(scope["path"])
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


def _wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response(f"{work(environ['PATH_INFO'])} Status", [("Content-Length", "2")])
    return [b"ok"]


asgi = Asgi(_asgi, request_cost=True, window=WINDOW)
wsgi = Wsgi(_wsgi, concurrency=4, window=WINDOW)
