"""Periodic requests of the supervisor to backends: the base of health checks and load polling.

Law of this file: a request takes at most its time-out, and none waits for another backend's. A target that is adopted
again unchanged keeps its state.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from random import random, uniform
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from ..scoreboard import Scoreboard
from ..upstream.backend import BackendSpec
from ..upstream.spec import GroupSpec

if TYPE_CHECKING:
    from .http_sessions import BackendSessions

log = logging.getLogger("qantara")

AT_ONCE = 256
"""Questions that are under way at the same time."""

S = TypeVar("S")


class BackendTask(Generic[S]):
    """One backend, and the settings of its requests."""

    def __init__(self, upstream: str, backend: BackendSpec, spec: S) -> None:
        self.upstream = upstream
        self.backend = backend
        self.spec = spec
        self.task: asyncio.Task[None] | None = None


T = TypeVar("T", bound="BackendTask[Any]")


class BackendTasks(ABC, Generic[S, T]):
    """All backends that are asked one kind of question, each by a task of its own."""

    action: ClassVar[str]
    """What is done to a backend, for the log: "checking"."""

    def __init__(self, board: Scoreboard, headers: Mapping[str, str]) -> None:
        self.board = board
        self.targets: dict[tuple[str, str], T] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self.headers = headers
        self._sessions: BackendSessions | None = None

    async def adopt(self, specs: Mapping[str, GroupSpec]) -> None:
        """Run the tasks of the backends of these upstreams, and no others, from now on."""
        wanted = {
            (name, backend.address): (backend, spec)
            for name, group in specs.items()
            if (spec := self.spec_of(group)) is not None
            for backend in group.backends
        }
        leaving = {
            key: target for key, target in self.targets.items() if wanted.get(key) != (target.backend, target.spec)
        }
        for key in leaving:
            del self.targets[key]
        await _cancel(leaving.values())
        for key in leaving:
            if key not in wanted:
                self.forget(*key)
        for (name, address), (backend, spec) in wanted.items():
            if (name, address) not in self.targets:
                target = self.targets[name, address] = self.target(name, backend, spec)
                target.task = asyncio.get_running_loop().create_task(self._watch(target))

    async def close(self) -> None:
        """End all tasks, and close all connections."""
        await _cancel(self.targets.values())
        if self._sessions is not None:
            await self._sessions.close()

    @property
    def sessions(self) -> BackendSessions:
        """For questions over HTTP."""
        if self._sessions is None:
            from .http_sessions import BackendSessions

            self._sessions = BackendSessions(self.headers)
        return self._sessions

    async def _watch(self, target: T) -> None:
        await asyncio.sleep(random() * self.first_within(target.spec))  # spread, so that they do not fall into step
        while True:
            began = monotonic()
            wrong = await self._asked(target)
            self.judge(target, wrong, monotonic() - began)
            interval, jitter = self.pause(target)
            pause = interval * uniform(1 - jitter, 1 + jitter)
            await asyncio.sleep(max(0.0, pause - (monotonic() - began)))

    async def _asked(self, target: T) -> str:
        """What is wrong, in words; "" if nothing is."""
        within = self.timeout(target.spec)
        async with self._slots:
            try:
                async with asyncio.timeout(within):
                    return await self.ask(target)
            except TimeoutError:
                return f"timed out after {within:g} s"
            except OSError as error:
                return str(error) or type(error).__name__
            except Exception as error:  # a defect of ours does not end the task, and is no good answer
                log.exception("a defect of the proxy, while %s %s", self.action, target.backend.address)
                return repr(error)

    def rows(self, target: T) -> memoryview:
        """The cells of its backend on the scoreboard."""
        return self.board.backend_rows(target.upstream, target.backend.address)

    # --- what each kind of question decides ---

    @abstractmethod
    def spec_of(self, group: GroupSpec) -> S | None:
        """The settings for the backends of an upstream; None for none."""

    @abstractmethod
    def target(self, upstream: str, backend: BackendSpec, spec: S) -> T:
        """A new target, its cells on the scoreboard prepared."""

    @abstractmethod
    def forget(self, upstream: str, address: str) -> None:
        """Erase the last result of a backend whose task has ended: it must not stay forever."""

    @abstractmethod
    def first_within(self, spec: S) -> float:
        """Seconds in which the first question falls, at random."""

    @abstractmethod
    def timeout(self, spec: S) -> float:
        """Seconds for one question."""

    @abstractmethod
    async def ask(self, target: T) -> str:
        """Ask once. Returns what is wrong, in words, or "". May raise OSError."""

    @abstractmethod
    def judge(self, target: T, wrong: str, seconds: float) -> None:
        """Act on an answer that took `seconds`."""

    @abstractmethod
    def pause(self, target: T) -> tuple[float, float]:
        """Seconds between the beginnings of two questions, and the share by which they vary."""


async def _cancel(targets: Iterable[BackendTask[Any]]) -> None:
    tasks = [target.task for target in targets if target.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
