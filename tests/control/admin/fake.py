"""The admin API of a proxy without processes, and a client of it.

    async with admin() as call:
        status, told = await call("GET", "/upstreams")

Invariant: nothing here decides anything; `call.fake` takes down what it is asked, and says what the test wants.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text
from proxy.configuration.schema import Config
from proxy.control.admin.contract import WorkerStatus
from proxy.control.admin.server import AdminServer
from proxy.control.chaos.service import ChaosService
from proxy.control.discovery.service import Discovery
from proxy.control.health_checks import HealthChecks
from proxy.control.reload import Checked, ReloadResult
from proxy.errors import BindError
from proxy.scoreboard import create
from proxy.upstream.spec import GroupSpec
from tests.control.chaos.lab import FakeClock, FakeTarget

YAML = """
listeners: [{bind: '127.0.0.1:0'}]
admin: {bind: '127.0.0.1:0', token: a-secret-of-many-characters}
upstreams: {app: {backends: ['a:1', {address: 'b:1', weight: 5}, 'unix:/run/c']}, other: {backends: ['a:1']}}
routes: [{upstream: app}, {path: /o, upstream: other}]
"""


class Fake:
    """A control without processes."""

    def __init__(self) -> None:
        self.board = create(3)
        self.board.set_used(3)
        self.health_checks = HealthChecks(self.board)
        self.path = "q.yaml"
        self.serve(YAML)
        self.discovery = Discovery(lambda *_: None)
        self.chaos = ChaosService(self.config.chaos, FakeTarget(FakeClock(), app=20))
        self.last_reload = ReloadResult(1000.0, True, 0.1)
        self.is_ready = True
        self.asked: list[tuple[str, object]] = []

    def serve(self, text: str) -> None:
        """Serve this configuration from now on."""
        config = load_text(text).config
        self.checked = Checked(config, compile_plan(config), ())

    @property
    def config(self) -> Config:
        return self.checked.config

    def specs(self) -> Mapping[str, GroupSpec]:
        return self.checked.plan.groups

    def status(self) -> dict[str, Any]:
        return {"pid": 1}

    def worker_status(self) -> list[WorkerStatus]:
        return [WorkerStatus(1, 10, "serving", 5.0, 2), WorkerStatus(2, 11, "leaving", 5.0, 0)]

    def ready(self) -> bool:
        return self.is_ready

    async def reload(self) -> ReloadResult:
        return ReloadResult(1.0, False, 0.1, ("q.yaml:1:1: bad",))

    async def upgrade(self) -> int:
        raise BindError("no")

    async def ask_all(self, kind: str, payload: object = None) -> list[object]:
        self.asked.append((kind, payload))
        return []

    def stop(self) -> None:
        self.is_ready = False


class Client:
    def __init__(self, fake: Fake, session: aiohttp.ClientSession, port: int) -> None:
        self.fake = fake
        self.session = session
        self.port = port

    async def __call__(self, method: str, path: str, json: Any = None, **headers: str) -> tuple[int, Any]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = json if isinstance(json, bytes) else None
        kwargs: dict[str, Any] = {"data": data} if data is not None else {"json": json}
        async with self.session.request(
            method, f"http://127.0.0.1:{self.port}{path}", headers=named, **kwargs
        ) as response:
            if response.content_type == "text/plain":
                return response.status, await response.text()
            return response.status, await response.json(content_type=None)


@asynccontextmanager
async def admin(token: str | None = None) -> AsyncIterator[Client]:
    fake = Fake()
    server = AdminServer(fake)
    _, port = await server.listen_on("127.0.0.1", 0, token)
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(fake, session, port)
    finally:
        await server.close(keep_file=False)
