"""One worker: a plan, its listeners, its pools, and the tick, in the running event loop.

Law of this file: everything that is opened here is closed here, in the reverse order. `Proxy` is also the library:
`async with Proxy(plan) as proxy: ...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import socket
from time import monotonic
from types import TracebackType
from typing import Any

from ..access_log import AccessLog
from ..deadlines import TICK, Sweep
from ..downstream.acceptor import Acceptor
from ..downstream.connection import ClientConnection
from ..downstream.listener import address_of, open_listener
from ..metrics import Counters, Snapshot
from ..plan import Plan
from ..upstream.pool import Pool

log = logging.getLogger("qantara")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt(3)."""
HEAP_KEPT = 64 * 1024 * 1024
MAPPED_FROM = 4 * 1024 * 1024


class Proxy:
    """A proxy that serves a plan in the running event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.sweep = Sweep()
        self.counters = Counters()
        self.addresses: list[tuple[str, int] | str] = []
        self.acceptor: Acceptor | None = None
        self.log: AccessLog | None = None
        self._sockets: list[tuple[socket.socket, int]] = []
        self._servers: list[asyncio.Server] = []
        self._ticker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the listeners and serve. Raises BindError, and OSError if the access log cannot be opened."""
        try:
            for spec in self.plan.listeners:
                self._sockets.append((open_listener(spec), spec.backlog))
            self.addresses = [address_of(sock) for sock, _ in self._sockets]
            if self.plan.access_log is not None:
                self.log = AccessLog(self.plan.access_log)
                self.log.start()
        except BaseException:
            await self.close()
            raise
        acceptor = self.acceptor = Acceptor(self.plan, self.sweep, self.counters, self.log)
        settings = self.plan.settings
        for group in self.plan.groups.values():
            for backend in group.members:
                backend.pool = Pool(backend, group.pool, self.sweep, settings.head_size, settings.header_count)
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        await self._serve(acceptor)

    async def _serve(self, acceptor: Acceptor) -> None:
        loop = asyncio.get_running_loop()

        def factory() -> Any:  # a protocol by its methods: a compiled class cannot inherit asyncio's
            return ClientConnection(acceptor)

        for sock, backlog in self._sockets:
            if sock.family == socket.AF_UNIX:
                self._servers.append(await loop.create_unix_server(factory, sock=sock, backlog=backlog))
            else:
                self._servers.append(await loop.create_server(factory, sock=sock, backlog=backlog))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.sweep.run(monotonic())

    def snapshot(self) -> Snapshot:
        """What was counted so far."""
        return self.counters.snapshot()

    async def drain(self) -> bool:
        """Stop accepting, and wait until requests in flight are over, at most `timeouts.drain`. True if all were."""
        acceptor = self.acceptor
        if acceptor is None:
            return True
        self._close_servers()
        empty = asyncio.Event()
        acceptor.when_empty = empty.set
        acceptor.stop()
        if acceptor.open:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(empty.wait(), self.plan.settings.drain)
        return not acceptor.open

    async def close(self) -> None:
        """Close everything at once."""
        self._close_servers()
        if self.acceptor is not None:
            self.acceptor.stopping = True
            self.acceptor.cut_all()
            for _ in range(100):  # connections say goodbye in the next turns of the loop
                if not self.acceptor.open:
                    break
                await asyncio.sleep(0)
        for group in self.plan.groups.values():
            for backend in group.members:
                if backend.pool is not None:
                    await backend.pool.close()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self.log is not None:
            await self.log.close()
            self.log = None

    def _close_servers(self) -> None:
        for sock, _ in self._sockets:  # the file of a Unix socket first: closed, a socket forgets its name
            if sock.family == socket.AF_UNIX and sock.fileno() >= 0:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(sock.getsockname())
        for server in self._servers:
            server.close()
        self._servers = []
        for sock, _ in self._sockets:
            sock.close()
        self._sockets = []

    async def serve_forever(self) -> None:
        """Serve until cancelled."""
        await asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Proxy:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def settle_memory() -> None:
    """Keep garbage collector and page faults off the path, in a process that does nothing but serve.

    What lives now lives on, and cycles are rare afterwards. glibc gives the top of the heap back to the kernel
    whenever 128 KiB of it are free, and maps larger blocks one by one: for buffers of 64 to 256 KiB, which come and
    go with every body, that is a fault per page and request. Here it keeps HEAP_KEPT bytes instead.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc; other C libraries have their own ways
        mallopt(M_TRIM_THRESHOLD, HEAP_KEPT)
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
