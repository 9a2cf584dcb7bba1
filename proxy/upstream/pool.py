"""The connections to one backend: idle ones newest first, and requests that wait for one.

Law of this file: `acquire` and `release` are plain list operations. Only opening a connection awaits, in a task of
its own per connection, never one per request. `size` counts connections that are open or being opened, never more
than `settings.max`; a request waits in `waiting` until a connection is opened or released for it, or its turn fails.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections import deque
from time import monotonic
from typing import Any

from ..deadlines import Sweep, Timed
from ..errors import (
    CONNECT_DNS,
    CONNECT_LIMIT,
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    CONNECT_UNREACHABLE,
    INTERNAL,
    POOL_TIMEOUT,
    Reason,
)
from ..scoreboard import CONNECT_FAILURES
from .backend import Backend
from .http1 import Http1Connection
from .ports import Requester, UpstreamStream
from .spec import PoolSettings

log = logging.getLogger("qantara")


class Waiting:
    """A request that waits for a connection, until `deadline` at most. `cancel` takes it out."""

    __slots__ = ("deadline", "pool", "requester")

    def __init__(self, pool: Pool, requester: Requester, deadline: float) -> None:
        self.pool = pool
        self.requester = requester
        self.deadline = deadline

    def cancel(self) -> None:
        """The request does not wait any more."""
        self.pool.cancel(self.requester)


class Pool(Timed):
    """Connections to one backend. `expire` is its upkeep: waiting requests that are late, the minimum kept warm."""

    def __init__(self, backend: Backend, settings: PoolSettings, sweep: Sweep, head_size: int, head_count: int) -> None:
        self.backend = backend
        self.sweep = sweep
        self.adopt(settings, head_size, head_count)
        self.idle: list[UpstreamStream] = []
        self.waiting: deque[Waiting] = deque()
        self.size = 0
        self.opening = 0
        self.closed = False
        self.retired = False
        self.tasks: set[asyncio.Task[None]] = set()
        self.deadline = 0.0  # due at the first tick, which opens the minimum
        sweep.watched.add(self)

    # --- the fast path ---

    def acquire(self, verify: bool, now: float) -> UpstreamStream | None:
        """The idle connection that was used last, None if there is none at time `now`.

        With `verify` a system call checks that the backend has not closed it meanwhile: for a request that could not be
        sent twice.
        """
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.deadline > now and connection.usable() and not (verify and not connection.is_quiet()):
                return connection
            connection.discard()
        return None

    def release(self, connection: Http1Connection) -> None:
        """Take a connection back after a complete exchange."""
        now = self.sweep.now
        retire = connection.born + self.lifetime
        if self.retired or now >= retire or self.size > self.max:
            connection.discard()
            return
        if self.waiting:
            if connection.is_quiet():
                self._hand_over(self.waiting.popleft().requester, connection)
            else:  # closed after its last response: another one is opened for waiting requests
                connection.discard()
            return
        connection.deadline = min(now + self.idle_seconds, retire)
        self.idle.append(connection)

    def _hand_over(self, requester: Requester, connection: Http1Connection) -> None:
        """Give a connection to a request that waited for it."""
        try:
            requester.connected(connection)
        except Exception:  # no caller above would answer the client
            log.exception("a defect of the proxy, while sending to %s", self.backend.name)
            connection.discard()
            requester.failed(INTERNAL, False)

    # --- the slow path ---

    def full(self) -> bool:
        """Whether no further request can wait here."""
        return self.size >= self.max and len(self.waiting) - self.opening >= self.settings.pending

    def wait(self, requester: Requester, fresh: bool = False) -> Waiting:
        """Have `requester.connected` called with a connection, or `connect_failed`; never before this returns.

        With `fresh` a new connection is opened for it even where idle ones may remain. Where the pool is `full`,
        nothing may wait.
        """
        waiting = Waiting(self, requester, monotonic() + self.settings.connect_timeout)
        if fresh:
            self.waiting.appendleft(waiting)
        else:
            self.waiting.append(waiting)
        self.deadline = 0.0
        self._open_for_waiting()
        return waiting

    def cancel(self, requester: Requester) -> None:
        """Forget a request that waits here."""
        self.waiting = deque([entry for entry in self.waiting if entry.requester is not requester])

    def forget(self, connection: Http1Connection) -> None:
        """A connection is closed."""
        self.size -= 1
        self.backend.pool_size(self.size, False)
        self.sweep.watched.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)
        self._open_for_waiting()

    def expire(self, now: float) -> None:
        """Once per tick: fail requests with a passed deadline, and keep the minimum of connections open."""
        self.deadline = now if self.waiting or self.settings.min else now + 1.0
        late = [entry.requester for entry in self.waiting if entry.deadline <= now]
        for requester in late:
            self.cancel(requester)
            requester.connect_failed(CONNECT_TIMEOUT if self.opening else POOL_TIMEOUT)
        if self.size < self.settings.min and not self.retired:
            self._open()

    def adopt(self, settings: PoolSettings, head_size: int, head_count: int) -> None:
        """Set new settings. Open connections stay."""
        self.settings = settings
        self.max = settings.max
        self.lifetime = settings.lifetime
        self.idle_seconds = settings.idle
        self.head_size = head_size
        self.head_count = head_count

    def retire(self) -> None:
        """The backend has left: keep no connection any more. Requests on the way to it still get theirs."""
        self.retired = True
        for connection in list(self.idle):
            connection.discard()

    async def close(self) -> None:
        """Close idle connections and stop opening new ones; those in use close when their exchange is over."""
        self.retire()
        self.closed = True
        self.sweep.watched.discard(self)
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _open_for_waiting(self) -> None:
        """Each request that waits has a connection being opened for it, as far as `max` allows."""
        while self.opening < len(self.waiting) and self.size < self.max and not self.closed:
            self._open()

    def _open(self) -> None:
        self.size += 1
        self.opening += 1
        self.backend.pool_size(self.size, True)
        task = asyncio.get_running_loop().create_task(self._connect())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self) -> None:
        connection = Http1Connection(self, self.head_size, self.head_count)
        reason: Reason | None = None
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                await self._dial(connection)
        except (TimeoutError, OSError) as error:
            reason = explain(error)
            self.backend.count(CONNECT_FAILURES)
            log.debug("connect to %s: %s", self.backend.name, error)
        finally:
            self.opening -= 1
            if connection.transport is None:
                self.size -= 1
                self.backend.pool_size(self.size, False)
        if reason is not None:
            if connection.transport is not None:  # it opened as the time ran out
                connection.discard()
            if self.waiting:
                self.waiting.popleft().requester.connect_failed(reason)
            self._open_for_waiting()
        elif connection.usable():
            self.sweep.watched.add(connection)
            self.release(connection)
        else:  # it closed again before it could be used
            waiting = self.waiting.popleft() if self.waiting else None
            connection.discard()
            if waiting is not None:
                waiting.requester.connect_failed(CONNECT_REFUSED)
            self._open_for_waiting()

    async def _dial(self, connection: Http1Connection) -> None:
        loop = asyncio.get_running_loop()
        spec = self.backend.spec
        protocol: Any = connection  # a protocol by its methods: a compiled class cannot inherit asyncio's
        if spec.path:
            await loop.create_unix_connection(lambda: protocol, spec.path)
        else:
            await loop.create_connection(lambda: protocol, spec.host, spec.port)


def explain(error: OSError) -> Reason:
    """The reason for an error while connecting: the one border where OSError becomes ours."""
    if isinstance(error, TimeoutError):
        return CONNECT_TIMEOUT
    if isinstance(error, socket.gaierror):
        return CONNECT_DNS
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL):
        return CONNECT_LIMIT
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT, errno.EAGAIN):
        return CONNECT_REFUSED
    return CONNECT_UNREACHABLE
