"""Where commands reach the supervisor: HTTP on a Unix socket that only this user can open.

Law of this file: it translates requests into calls of the supervisor, and answers with JSON. An answer says what was
done; what was refused is told with every reason.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from ..errors import BindError

if TYPE_CHECKING:
    from .supervisor import Supervisor


class ControlServer:
    """The HTTP server of the control socket."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.path: Path | None = None
        self.runner: web.AppRunner | None = None

    async def start(self, path: Path) -> None:
        """Listen at `path`. An upgrade finds the place taken by the old process: the new one replaces the file."""
        app = web.Application(client_max_size=1 << 20)
        app.add_routes(
            [
                web.get("/status", self.status),
                web.post("/reload", self.reload),
                web.post("/stop", self.stop),
                web.post("/upgrade", self.upgrade),
                web.post("/reopen", self.reopen),
            ]
        )
        self.runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self.runner.setup()
        beside = path.with_suffix(f".{os.getpid()}")
        beside.unlink(missing_ok=True)
        await web.UnixSite(self.runner, str(beside)).start()
        os.chmod(beside, 0o600)
        os.replace(beside, path)  # whoever asks finds either the old or the new process, never nobody
        self.path = path

    async def close(self) -> None:
        """Stop listening; the file stays if it is another process's by now."""
        if self.path is not None and not self.supervisor.handed_over:
            self.path.unlink(missing_ok=True)
        if self.runner is not None:
            await self.runner.cleanup()

    async def status(self, _: web.Request) -> web.Response:
        supervisor = self.supervisor
        return answer(
            {
                "pid": os.getpid(),
                "config": supervisor.path,
                "workers": [status._asdict() for status in supervisor.workers.status()],
                "spare": supervisor.workers.spare.pid if supervisor.workers.spare is not None else None,
                "last_reload": supervisor.last_reload._asdict(),
            }
        )

    async def reload(self, _: web.Request) -> web.Response:
        result = await self.supervisor.reload()
        return answer(result._asdict(), 200 if result.ok else 422)

    async def stop(self, _: web.Request) -> web.Response:
        self.supervisor.stop()
        return answer({"stopping": True}, 202)

    async def upgrade(self, _: web.Request) -> web.Response:
        try:
            return answer({"pid": await self.supervisor.upgrade()})
        except BindError as error:
            return answer({"problems": [str(error)]}, 500)

    async def reopen(self, _: web.Request) -> web.Response:
        await self.supervisor.reopen_logs()
        return answer({"reopened": True})


def answer(body: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(body=orjson.dumps(body) + b"\n", status=status, content_type="application/json")
