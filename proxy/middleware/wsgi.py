"""Load reports of a WSGI app, in the header of each response.

    from proxy.middleware.wsgi import LoadReportMiddleware
    app = LoadReportMiddleware(app)

Law of this file: no request fails, waits or changes because of it, except for the header of the response.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .load import FORWARDING, HEADER, PATH, Load

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class WsgiLoadReports:
    """Wraps a WSGI app. `path` answers with the report, for polls and probes; None for no such path. Further
    arguments are those of `Load`.

    `request_cost` is exact: the CPU seconds of the thread from the call until the response begins. Turn it off where
    requests share a thread (gevent, eventlet).
    """

    def __init__(self, app: App, *, path: str | None = PATH, request_cost: bool = True, **how: Any) -> None:
        self.app = app
        self.path = path
        self.request_cost = request_cost
        self.load = Load(**how)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        asked = self.path is not None and environ["PATH_INFO"] == self.path and environ["REQUEST_METHOD"] == "GET"
        if asked and not any(f"HTTP_{name.upper().replace('-', '_')}" in environ for name in FORWARDING):
            body = self.load.json()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
            return [body]
        call = WsgiCall(self.load, start_response, self.request_cost)
        try:
            result = self.app(environ, call.start)
            if isinstance(result, list | tuple) or type(result) is environ.get("wsgi.file_wrapper"):
                call.send_head()  # the work is done, and the server may have its own way of sending this
                call.over(False)
                return result
        except Exception:
            call.over(True)
            raise
        call.result = result
        return call


LoadReportMiddleware = WsgiLoadReports
"""The name that apps import."""


class WsgiCall:
    """One call of a WSGI app, and its result: the head is sent with the first bytes of the body, so that the report in
    it covers the work for them."""

    def __init__(self, load: Load, start_response: Callable[..., Any], costs: bool) -> None:
        self.load = load
        self.start_response = start_response
        self.costs = costs
        self.cpu = time.thread_time() if costs else 0.0
        self.came = time.monotonic()
        self.answered = 0.0
        self.beside = load.began()
        self.head: tuple[Any, ...] | None = None
        self.write: Callable[[bytes], Any] | None = None
        self.failed = self.ended = False
        self.result: Iterable[bytes] = ()

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], Any]:
        """`start_response` of the app."""
        more = (exc_info,) if exc_info is not None else ()
        self.failed = status.startswith("5")
        if self.write is not None:  # the server decides what to do about a second head
            self.start_response(status, headers, *more)
        self.head = (status, headers, *more)
        return self._write_at_once

    def _write_at_once(self, data: bytes) -> None:
        self.send_head()
        if self.write is not None:
            self.write(data)

    def send_head(self) -> None:
        """Send the head of the response, with the report."""
        if self.write is None and self.head is not None:
            self.answered = time.monotonic()
            status, headers, *more = self.head
            cost = time.thread_time() - self.cpu if self.costs else None
            self.write = self.start_response(status, [*headers, (HEADER, self.load.text(cost))], *more)

    def __iter__(self) -> Iterator[bytes]:
        try:
            for part in self.result:
                self.send_head()
                yield part
            self.send_head()
        except Exception:
            self.failed = True
            raise

    def close(self) -> None:
        try:
            if hasattr(self.result, "close"):
                self.result.close()
        finally:
            self.over(False)

    def over(self, failed: bool) -> None:
        """Once."""
        if not self.ended:
            self.ended = True
            self.load.ended(self.beside, (self.answered or time.monotonic()) - self.came, failed or self.failed)
