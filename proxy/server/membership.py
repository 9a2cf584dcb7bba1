"""The backends of each upstream, in every process: changes by discovery and operators reach the workers, the health
checks and the polls.

Law of this file: `lists` is what the workers have got; every backend in it has rows of its own on the board. Nothing is
sent to workers while they take up a configuration.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from ..configuration.schema import Config
from ..control.discovery.service import Discovery
from ..control.health_checks import HealthChecks
from ..control.load_polling import LoadPolling
from ..errors import BindError, BoardFull
from ..scoreboard import Scoreboard, limit_key
from ..upstream.backend import BackendSpec
from ..upstream.spec import GroupSpec

log = logging.getLogger("qantara")

Lists = dict[str, tuple[BackendSpec, ...]]
"""The backends of each upstream."""
AskAll = Callable[[str, object], Awaitable[object]]


class Membership:
    """The backends of all upstreams."""

    def __init__(self, board: Scoreboard, *watchers: HealthChecks | LoadPolling) -> None:
        self.board = board
        self.watchers = watchers
        self.discovery = Discovery(self._changed)
        self.lists: Lists = {}
        self._wanted: Lists = {}
        """What discovery has said since."""
        self._news = asyncio.Event()

    @asynccontextmanager
    async def taking_up(self, config: Config) -> AsyncIterator[Lists]:
        """The backends that a new configuration begins with. It counts when the context is left without an exception.

        Raises BindError if a source cannot be made.
        """
        try:
            adoption = await self.discovery.prepare(config.upstreams)
        except ValueError as error:
            raise BindError(str(error)) from error
        try:
            yield adoption.members
        except BaseException:
            await self.discovery.drop(adoption)
            raise
        self.lists, self._wanted = dict(adoption.members), dict(adoption.members)
        self.discovery.adopt(adoption)

    async def close(self) -> None:
        await self.discovery.close()
        for watcher in self.watchers:
            await watcher.close()

    async def hand_on(self, lock: asyncio.Lock, ask_all: AskAll, specs: Callable[[], Mapping[str, GroupSpec]]) -> None:
        """Send each change to workers, health checks and polls, until cancelled."""
        while True:
            await self._news.wait()
            async with lock:
                self._news.clear()
                try:
                    give_rows(self.board, self._wanted)
                except BoardFull as error:
                    log.error("backends stay as they were: %s", error)
                    continue
                self.lists = dict(self._wanted)
                await ask_all("members", {"rows": dict(self.board.backends.rows), "backends": dict(self.lists)})
                await self.watch(specs())

    async def watch(self, specs: Mapping[str, GroupSpec]) -> None:
        """Check and poll the backends of these upstreams from now on."""
        for watcher in self.watchers:
            await watcher.adopt(specs)

    def _changed(self, upstream: str, backends: tuple[BackendSpec, ...]) -> None:
        self._wanted[upstream] = backends
        self._news.set()

    def free_rows(self, lock: asyncio.Lock) -> None:
        """Free the rows of backends that are gone, unless a change is being sent."""
        if not lock.locked():
            keep = {f"{name}\n{backend.address}" for name, backends in self.lists.items() for backend in backends}
            self.board.forget_unused(keep)


def give_rows(board: Scoreboard, lists: Lists, rate_limits: Iterable[str] = ()) -> None:
    """Every upstream, every backend and every rate limit gets its rows of the board. Raises BoardFull."""
    for name in rate_limits:
        board.upstreams.row(limit_key(name))
    for name, backends in lists.items():
        board.upstreams.row(name)
        for backend in backends:
            board.backends.row(f"{name}\n{backend.address}")
