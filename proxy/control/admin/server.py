"""The sockets of the admin API, and the API behind them from the first connection on.

Law of this file: nothing here imports aiohttp before it has to. A proxy that is never asked does not pay for it: a
quarter of a second of CPU, and half of what a supervisor would load.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import BindError
from ...limits.threads import run_in_thread
from .contract import Control

if TYPE_CHECKING:
    from aiohttp import web
    from aiohttp.typedefs import Middleware

log = logging.getLogger("qantara")

LOADED_WITHIN = 60.0
"""Seconds until a first connection is given up."""
BACKLOG = 128
"""Connections that wait while the API is loaded."""


class AdminServer:
    """The admin API of one running proxy, on its control socket and, if wanted, on a TCP address."""

    def __init__(self, control: Control) -> None:
        self.control = control
        self.path: Path | None = None
        self._runners: list[web.AppRunner] = []
        self._waiting: socket.socket | None = None
        """The control socket until a connection comes."""
        self._loading: asyncio.Task[None] | None = None
        self._server: asyncio.AbstractServer | None = None

    async def listen_at(self, path: Path) -> None:
        """Listen on a Unix socket of this user's own. A file that is there already is replaced in one step: during an
        upgrade a client finds the old process or the new one."""
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.unlink(missing_ok=True)
        sock = self._waiting = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        sock.bind(str(temporary))
        os.chmod(temporary, 0o600)
        sock.listen(BACKLOG)
        os.replace(temporary, path)
        self.path = path
        asyncio.get_running_loop().add_reader(sock, self._on_connection)

    def _on_connection(self) -> None:
        loop = asyncio.get_running_loop()
        sock, self._waiting = self._waiting, None
        if sock is not None:
            loop.remove_reader(sock)
            self._loading = loop.create_task(self._load(sock))

    async def _load(self, sock: socket.socket) -> None:
        try:
            await run_in_thread(LOADED_WITHIN, _import_api)
            runner = await self._runner(None)
            assert runner.server is not None
            self._server = await asyncio.get_running_loop().create_unix_server(runner.server, sock=sock)
        except Exception:
            log.exception("a defect of the proxy: the control socket cannot be served")
            sock.close()

    async def listen_on(self, host: str, port: int, token: str | None) -> tuple[str, int]:
        """Listen on a TCP address. Returns what it is bound to; raises BindError."""
        from aiohttp import web

        from .guard import guard

        runner = await self._runner(guard(token))
        try:
            await web.TCPSite(runner, host or None, port, reuse_port=True).start()
        except OSError as error:
            raise BindError(f"admin.bind: cannot listen on {host}:{port}: {error.strerror}") from error
        address = runner.addresses[0]
        return str(address[0]), int(address[1])

    async def _runner(self, guarded: Middleware | None) -> web.AppRunner:
        from aiohttp import web

        from .app import application

        app = application(self.control, guarded)
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, keepalive_timeout=15.0)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def close(self, keep_file: bool) -> None:
        """Stop listening. With `keep_file` the file of the socket belongs to another process by now."""
        if self.path is not None and not keep_file:
            self.path.unlink(missing_ok=True)
        if self._loading is not None:
            await self._loading
        if self._waiting is not None:
            asyncio.get_running_loop().remove_reader(self._waiting)
            self._waiting.close()
            self._waiting = None
        if self._server is not None:
            self._server.close()
        for runner in self._runners:
            await runner.cleanup()


def _import_api() -> None:
    from . import app  # noqa: F401  # in a thread: the loop goes on meanwhile
