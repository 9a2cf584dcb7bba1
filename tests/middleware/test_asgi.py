"""The ASGI middleware, called as a server calls it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from time import thread_time
from typing import Any

import pytest

from proxy.middleware.asgi import LoadReportMiddleware, Metered
from proxy.upstream.load.orca import parse_body, parse_header
from proxy.upstream.load.report import LoadReport
from tests.support import PATIENCE

Send = Callable[[Any], Awaitable[None]]


def burn(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


class Server:
    """Calls an app once and keeps what it sends."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def call(self, app: Any, path: str = "/", headers: Sequence[tuple[bytes, bytes]] = (), **scope: Any) -> None:
        asked = {"type": "http", "method": "GET", "path": path, "headers": list(headers)} | scope
        await app(asked, self.receive, self.send)

    async def receive(self) -> Any:
        return {"type": "http.request"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def report(self) -> LoadReport:
        (value,) = [value for name, value in self.sent[0]["headers"] if name == b"endpoint-load-metrics"]
        found = parse_header(value)
        assert found is not None
        return found


async def answer(send: Send, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"ok"})


async def app(scope: Any, receive: Any, send: Send) -> None:
    await answer(send, int(scope["path"].strip("/") or 200))


async def test_each_response_has_a_report() -> None:
    wrapped, server = LoadReportMiddleware(app), Server()
    await server.call(wrapped)
    assert server.sent[0]["headers"][0] == (b"x-own", b"1")
    assert server.report.in_flight == 1.0
    assert math.isnan(server.report.cost), "which cannot be told, and so is not"
    assert server.sent[1] == {"type": "http.response.body", "body": b"ok"}
    assert (wrapped.load.in_flight, wrapped.load.done, wrapped.load.failed) == (0, 1, 0)


async def test_errors_are_counted_and_exceptions_go_on() -> None:
    async def broken(scope: Any, receive: Any, send: Send) -> None:
        raise RuntimeError("broken")

    wrapped = LoadReportMiddleware(app)
    await Server().call(wrapped, "/503")
    await Server().call(wrapped, "/404")
    assert (wrapped.load.done, wrapped.load.failed) == (2, 1)
    wrapped = LoadReportMiddleware(broken)
    with pytest.raises(RuntimeError, match="broken"):
        await Server().call(wrapped)
    assert (wrapped.load.in_flight, wrapped.load.done, wrapped.load.failed) == (0, 1, 1)


async def test_a_client_that_leaves_is_no_error() -> None:
    async def slow(scope: Any, receive: Any, send: Send) -> None:
        await asyncio.Event().wait()

    wrapped = LoadReportMiddleware(slow, request_cost=True)
    task = asyncio.ensure_future(Server().call(wrapped))
    await asyncio.sleep(0)
    assert wrapped.load.in_flight == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (wrapped.load.in_flight, wrapped.load.failed) == (0, 0)


async def test_the_load_endpoint() -> None:
    wrapped, server = LoadReportMiddleware(app), Server()
    await server.call(wrapped, "/load")
    headers = dict(server.sent[0]["headers"])
    body = server.sent[1]["body"]
    assert (server.sent[0]["status"], headers[b"content-type"]) == (200, b"application/json")
    assert int(headers[b"content-length"]) == len(body)
    assert parse_body(body) is not None
    assert json.loads(body)["named_metrics"]["rif"] == 0
    assert wrapped.load.done == 0, "it is no request of the app"


@pytest.mark.parametrize("header", [b"via", b"x-forwarded-for", b"forwarded"])
async def test_clients_behind_a_proxy_are_not_told(header: bytes) -> None:
    async def whole(scope: Any, receive: Any, send: Send) -> None:
        await answer(send, 418)

    server = Server()
    await server.call(LoadReportMiddleware(whole), "/load", [(header, b"somebody")])
    assert server.sent[0]["status"] == 418


async def test_the_path_can_be_another_or_none() -> None:
    server = Server()
    await server.call(LoadReportMiddleware(app, path="/-/load"), "/-/load")
    assert server.sent[0]["status"] == 200
    server = Server()
    await server.call(LoadReportMiddleware(app, path=None), "/404")
    assert server.sent[0]["status"] == 404


async def test_what_is_not_http_goes_on_untouched() -> None:
    seen = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, receive, send))

    scope, server = {"type": "lifespan"}, Server()
    await LoadReportMiddleware(inner)(scope, server.receive, server.send)
    assert seen == [(scope, server.receive, server.send)]


async def test_the_cost_is_that_of_the_own_task() -> None:
    async def costly(scope: Any, receive: Any, send: Send) -> None:
        burn(0.02)
        await asyncio.sleep(0.001)
        await asyncio.wait_for(asyncio.sleep(0.001), 1)
        burn(0.02)
        await answer(send)

    async def beside() -> None:
        while True:
            burn(0.001)
            await asyncio.sleep(0)

    other = asyncio.ensure_future(beside())
    server = Server()
    await server.call(LoadReportMiddleware(costly, request_cost=True))
    other.cancel()
    assert 0.04 <= server.report.cost < 0.06


async def test_metering_changes_nothing_about_awaiting() -> None:
    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None
        async with asyncio.timeout(PATIENCE):
            await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            seen.append("timeout")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        seen.append("end")

    seen: list[str] = []
    metered = Metered(work())
    await metered
    assert seen == ["timeout", "end"]
    assert metered.seconds > 0
