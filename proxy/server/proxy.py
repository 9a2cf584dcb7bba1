"""One worker: a plan, its listeners, its pools, and the tick, in the running event loop.

Law of this file: everything that is opened here is closed here, in the reverse order. `Proxy` is also the library:
`async with Proxy(plan) as proxy: ...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple

from ..control.trace_export.exporter import TraceExport, open_tracing
from ..deadlines import TICK
from ..downstream.acceptor import Acceptor
from ..downstream.http1.connection import ClientConnection
from ..downstream.listener import address_of, open_listener
from ..metrics import Counters, Snapshot
from ..plan import ListenerSpec, Plan
from ..telemetry.access_log import AccessLog
from ..telemetry.top_talkers import Talkers

log = logging.getLogger("qantara")

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of mallopt(3)."""
PAGE = os.sysconf("SC_PAGE_SIZE")
HEAP_KEPT = 64 * 1024 * 1024
MAPPED_FROM = 4 * 1024 * 1024


Sockets = Mapping[str, Sequence[socket.socket]]
Opened = list[tuple[ListenerSpec, socket.socket]]


class Listening(NamedTuple):
    """A socket that is listened on."""

    sock: socket.socket
    server: asyncio.Server
    address: tuple[str, int] | str
    inode: int
    """Identity of a socket: the same one may come under several file descriptors."""
    ours: bool
    """Whether it was opened here, and not by a supervisor."""

    def close(self) -> None:
        if self.ours and isinstance(self.address, str):  # the file first: closed, a socket forgets its name
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address)
        self.server.close()
        self.sock.close()


async def _within(seconds: float, event: asyncio.Event) -> None:
    """Wait for an event, but no longer than that."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def inode_of(sock: socket.socket) -> int:
    """The number of the socket itself, the same in every process that has it open."""
    return os.fstat(sock.fileno()).st_ino


def close_sockets(opened: Opened) -> None:
    """Give back what was opened in vain."""
    for spec, sock in opened:
        if spec.path:
            os.unlink(spec.path)
        sock.close()


def open_log(plan: Plan, counters: Counters) -> AccessLog | None:
    """The access log of a plan, started. Raises OSError if it cannot be opened."""
    if plan.access_log is None:
        return None
    log = AccessLog(plan.access_log, counters)
    log.start()
    return log


class Proxy:
    """A proxy that serves a plan in the running event loop."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.registry = plan.registry
        self.board = plan.registry.board
        self.sweep = plan.registry.sweep
        self.counters = Counters(self.board.slot_head(self.board.slot))
        self.counters.talkers = self.talkers = Talkers()
        self.acceptor: Acceptor | None = None
        self.log: AccessLog | None = None
        self.tracing: TraceExport | None = None
        self.listening: dict[str, list[Listening]] = {}
        """What listens, by the `bind` of the listener."""
        self._ticker: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[tuple[str, int] | str]:
        """What the listeners are bound to, in the order of the configuration."""
        return [self.listening[spec.bind][0].address for spec in self.plan.listeners if spec.bind in self.listening]

    async def start(self, sockets: Sockets | None = None) -> None:
        """Open the listeners, or take the sockets given for each `bind`, and serve.

        Raises BindError, and OSError if the access log cannot be opened.
        """
        plan = self.plan
        try:
            opened = self._open(plan, sockets)
            try:
                self.log = open_log(plan, self.counters)
                self.tracing = await open_tracing(plan.tracing, self.counters.cells)
            except BaseException:
                if sockets is None:
                    close_sockets(opened)
                raise
        except BaseException:
            await self.close()
            raise
        self.board.take_slot(os.getpid())
        self.acceptor = Acceptor(plan, self.sweep, self.counters, self._on_request_over())
        plan.settle_groups()
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        await self._listen(opened, sockets is None)

    async def adopt(self, plan: Plan, sockets: Sockets | None = None) -> None:
        """Serve another plan, compiled for the same registry, from the next request of each connection on.

        Listeners that it has no more are closed, after what waits there was accepted. Raises BindError, OSError (the
        access log) or BoardFull, and has then changed nothing.
        """
        acceptor = self.acceptor
        assert acceptor is not None
        for spec in plan.specs.values():
            for backend in spec.backends:
                self.board.backends.row(f"{spec.name}\n{backend.address}")
        opened = self._open(plan, sockets)
        old_log, old_tracing = self.log, self.tracing
        tracing = old_tracing
        try:
            if plan.tracing != self.plan.tracing:
                tracing = await open_tracing(plan.tracing, self.counters.cells)
            if plan.access_log != self.plan.access_log:
                self.log = open_log(plan, self.counters)
        except BaseException:
            if sockets is None:
                close_sockets(opened)
            if tracing is not None and tracing is not old_tracing:
                await tracing.close()
            raise
        self.tracing = tracing
        plan.settle_groups()
        self.plan = plan
        acceptor.adopt(plan)
        acceptor.use_log(self._on_request_over())
        if old_tracing is not None and old_tracing is not tracing:
            await old_tracing.close()
        if old_log is not None and old_log is not self.log:
            await old_log.close()
        wanted = {inode_of(sock) for _, sock in opened} if sockets is not None else None
        await self._listen(opened, sockets is None)
        for bind, listenings in list(self.listening.items()):
            if bind not in {spec.bind for spec in plan.listeners}:
                await self._stop_listening(bind)
                acceptor.retire(bind)
            elif wanted is not None:
                self._keep_only(bind, listenings, wanted)

    def _on_request_over(self) -> Any:
        """Called with each request that is over."""
        if self.log is not None:
            self.log.show_traces(self.tracing is not None)
        if self.tracing is None:
            return self.log
        self.tracing.tracer.following = self.log
        return self.tracing.tracer

    def _open(self, plan: Plan, sockets: Sockets | None) -> Opened:
        """Sockets for the listeners that do not listen yet."""
        opened: Opened = []
        try:
            for spec in plan.listeners:
                if sockets is not None:
                    opened += [(spec, sock) for sock in sockets[spec.bind]]
                elif spec.bind not in self.listening:
                    opened.append((spec, open_listener(spec)))
        except BaseException:
            if sockets is None:
                close_sockets(opened)
            raise
        return opened

    def sockets(self) -> dict[str, list[socket.socket]]:
        """What is listened on, by `bind`."""
        return {bind: [each.sock for each in listenings] for bind, listenings in self.listening.items()}

    def _keep_only(self, bind: str, listenings: list[Listening], wanted: set[int]) -> None:
        """Leave those sockets of a listener to others that are no longer given to us."""
        for listening in listenings:
            if listening.inode not in wanted:
                listening.close()
        self.listening[bind] = [each for each in listenings if each.inode in wanted]

    async def _listen(self, opened: Opened, ours: bool) -> None:
        loop = asyncio.get_running_loop()
        for spec, sock in opened:
            inode = inode_of(sock)
            if any(each.inode == inode for each in self.listening.get(spec.bind, ())):
                sock.close()
                continue
            factory = self._factory(spec.bind)
            address = address_of(sock)
            if sock.family == socket.AF_UNIX:
                server = await loop.create_unix_server(factory, sock=sock, backlog=spec.backlog)
            else:
                server = await loop.create_server(factory, sock=sock, backlog=spec.backlog)
            self.listening.setdefault(spec.bind, []).append(Listening(sock, server, address, inode, ours))

    def _factory(self, bind: str) -> Callable[[], Any]:
        acceptor = self.acceptor
        assert acceptor is not None

        def factory() -> Any:  # a protocol by its methods: a compiled class cannot inherit asyncio's
            connection = ClientConnection(acceptor)
            connection.listener = bind
            return connection

        return factory

    async def _stop_listening(self, bind: str) -> None:
        """Close a listener, and serve what the kernel has accepted for it by now."""
        loop = asyncio.get_running_loop()
        for listening in self.listening.pop(bind):
            remaining = listening.sock.dup()
            listening.close()
            remaining.setblocking(False)
            with remaining, contextlib.suppress(BlockingIOError):
                while True:
                    accepted, _ = remaining.accept()
                    await loop.connect_accepted_socket(self._factory(bind), accepted)

    async def _tick(self) -> None:
        shedder = self.registry.shedder
        while True:
            began = monotonic()
            await asyncio.sleep(TICK)
            now = monotonic()
            lag = max(0.0, now - began - TICK)
            if shedder.spec is not None:
                shedder.look(lag, memory_used())
            self.sweep.run(now)
            self.registry.tick(now, lag)
            self.board.beat()

    def snapshot(self) -> Snapshot:
        """What was counted so far."""
        return self.counters.snapshot()

    async def drain(self, patient: bool = False, grace: float = 0.0) -> bool:
        """Stop: for `grace` seconds go on accepting, but ask every client to close; then accept no more, and wait until
        requests in flight are over, at most `timeouts.drain`. True if all were.

        With `patient` another process serves the listeners: idle connections then have that time to bring one more
        request, which is answered with `Connection: close`. Closing them at once would lose requests on their way.
        """
        acceptor = self.acceptor
        if acceptor is None:
            return True
        settings = self.plan.settings
        acceptor.leave()
        empty = asyncio.Event()
        acceptor.when_empty = empty.set
        if patient:
            self._close_servers()  # what waits there is served by the others
            if acceptor.open:
                await _within(settings.drain, empty)
            acceptor.stop()
            return not acceptor.in_flight()
        if grace:
            await asyncio.sleep(grace)
        for bind in list(self.listening):
            await self._stop_listening(bind)
        acceptor.stop()
        if acceptor.open:
            await _within(settings.drain, empty)
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
            await self.registry.close()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        if self.tracing is not None:
            await self.tracing.close()
            self.tracing = None
        if self.log is not None:
            await self.log.close()
            self.log = None

    def _close_servers(self) -> None:
        for listenings in self.listening.values():
            for listening in listenings:
                listening.close()
        self.listening = {}

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


def memory_used() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE


def settle_memory() -> None:
    """Keep garbage collector and page faults off the path, in a process that does nothing but serve.

    What lives now lives on, and cycles are rare afterwards. glibc gives the top of the heap back to the kernel
    whenever 128 KiB of it are free, and maps larger blocks one by one: for buffers of 64 to 256 KiB, which come and
    go with every body, that is a fault per page and request. Here it keeps HEAP_KEPT bytes instead.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    import ctypes  # once, and a tenth of what a worker imports

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc; other C libraries have their own ways
        mallopt(M_TRIM_THRESHOLD, HEAP_KEPT)
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM)
