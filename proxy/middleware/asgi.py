"""Load reports of an ASGI app, in the header of each response.

    from proxy.middleware.asgi import LoadReportMiddleware
    app = LoadReportMiddleware(app)

Law of this file: no request fails, waits or changes because of it, except for the header of the response.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator, Iterable, MutableMapping
from typing import Any

from .load import FORWARDING, HEADER, PATH, Load

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class AsgiLoadReports:
    """Wraps an ASGI app. `path` answers with the report, for polls and probes; None for no such path. Further
    arguments are those of `Load`.

    The cost of a request is not exact where many share a thread. With `request_cost` it is the CPU time of the
    request's own task until the response begins, without work in other tasks and in threads (`def` endpoints of FastAPI
    and Starlette). So it is off by default, and useful where endpoints are `async`.
    """

    def __init__(self, app: App, *, path: str | None = PATH, request_cost: bool = False, **how: Any) -> None:
        self.app = app
        self.path = path
        self.request_cost = request_cost
        self.load = Load(**how)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == self.path and scope["method"] == "GET" and not passed_on(scope["headers"]):
            await self._answer(send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, beside, failed, answered = time.monotonic(), self.load.began(), False, 0.0
        metered: Metered | None = None

        async def send_with_report(message: Message) -> None:
            nonlocal failed, answered
            if message["type"] == "http.response.start":
                failed, answered = message["status"] >= 500, time.monotonic()
                cost = metered.so_far() if metered is not None else None
                line = (HEADER.encode(), self.load.text(cost).encode())
                message = {**message, "headers": [*message.get("headers", ()), line]}
            await send(message)

        try:
            serving = self.app(scope, receive, send_with_report)
            if self.request_cost:
                serving = metered = Metered(serving)
            await serving
        except Exception:
            failed = True
            raise
        finally:
            self.load.ended(beside, (answered or time.monotonic()) - began, failed)

    async def _answer(self, send: Send) -> None:
        body = self.load.json()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


LoadReportMiddleware = AsgiLoadReports
"""The name that apps import."""


class Metered:
    """Awaits an awaitable, and adds up the CPU seconds of its steps."""

    def __init__(self, awaited: Awaitable[None]) -> None:
        self.awaited = awaited
        self.seconds = 0.0
        self.since = 0.0

    def so_far(self) -> float:
        """CPU seconds up to now; called within a step."""
        return self.seconds + time.thread_time() - self.since

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self.awaited.__await__()
        value, error = None, None
        while True:
            self.since = time.thread_time()
            try:
                waits_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration:
                return
            finally:
                self.seconds = self.so_far()
            value, error = None, None
            try:
                value = yield waits_for
            except BaseException as thrown:
                error = thrown


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a request was forwarded by a proxy."""
    return any(name.decode("latin-1") in FORWARDING for name, _ in headers)
