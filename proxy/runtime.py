"""The state of one worker that outlives a plan: groups and backends by name, rate limits, shedding.

Law of this file: a backend is the same object for as long as its address stays in its upstream; its pool, counters,
health and the data of algorithms about it stay with it. A backend that leaves is retired: it completes its requests,
keeps no connection afterwards, and is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .deadlines import Sweep
from .limits.buckets import Buckets
from .limits.shedding import Shedder
from .scoreboard import Scoreboard, alone
from .upstream.backend import Backend, BackendSpec
from .upstream.group import Group
from .upstream.picker import Selector
from .upstream.pool import Pool
from .upstream.spec import GroupSpec

S = TypeVar("S")
T = TypeVar("T")


class Registry:
    """Groups by the name of their upstream."""

    def __init__(self, board: Scoreboard, sweep: Sweep) -> None:
        self.board = board
        self.sweep = sweep
        self.buckets = Buckets(board.buckets())
        """The usage of rate limits, by key."""
        self.shedder = Shedder()
        self.remotes: dict[Any, Any] = {}
        """Clients of shared rate limits, by their store (stages/shared_limits.py)."""
        self.groups: dict[str, Group] = {}
        self.epoch = -1
        self.retired: list[tuple[str, Backend]] = []

    @classmethod
    def alone(cls) -> Registry:
        """The state of a process that serves alone."""
        return cls(alone(), Sweep())

    def remote(self, store: S, make: Callable[[S], T]) -> T:
        """The client of a store: one for all limits, kept across reloads."""
        if store not in self.remotes:
            self.remotes[store] = make(store)
        found: T = self.remotes[store]
        return found

    def group(self, name: str) -> Group:
        """The group of an upstream, a new one without members if there is none yet."""
        found = self.groups.get(name)
        if found is None:
            found = self.groups[name] = Group(name, self.board, self.board.upstream_rows(name))
        return found

    def adopt(
        self,
        spec: GroupSpec,
        balancer: object,
        head_size: int,
        head_count: int,
        spare: object = None,
        subsets: Mapping[Selector, tuple[Any, Any]] | None = None,
    ) -> None:
        """Take up the configuration of an upstream."""
        group = self.group(spec.name)
        members = self._members(group, spec.backends, spec, head_size, head_count)
        leaving = set(group.members.all) - set(members)
        group.adopt(spec, members, balancer, spare, subsets)
        self._retire(group.name, leaving)

    def set_members(self, name: str, backends: Sequence[BackendSpec]) -> None:
        """Set the backends of an upstream, changed by discovery or an operator."""
        group = self.groups[name]
        some = next(iter(group.members.all), None)
        head_size, head_count = (some.pool.head_size, some.pool.head_count) if some is not None else (32768, 100)
        members = self._members(group, backends, group.spec, head_size, head_count)
        leaving = set(group.members.all) - set(members)
        group.spec = group.spec._replace(backends=tuple(backends))
        group.set_members(members)
        self._retire(group.name, leaving)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget the groups that the plan does not name."""
        for name in set(self.groups) - set(names):
            group = self.groups.pop(name)
            self._retire(name, group.members.all)

    def tick(self, now: float, lag: float = 0.0) -> None:
        """Once per tick, `lag` seconds late: read the changes of other processes, and forget retired backends."""
        self.board.refresh()
        epoch = self.board.epoch()
        for group in self.groups.values():
            if epoch != self.epoch or group.members.refresh_at <= now:
                group.refresh(now)
            group.tick(now, lag)
        self.epoch = epoch
        if self.retired:
            self._forget_retired()

    def _members(
        self, group: Group, specs: Sequence[BackendSpec], settings: GroupSpec, head_size: int, head_count: int
    ) -> list[Backend]:
        known = {backend.name: backend for backend in group.members.all}
        members = []
        for spec in specs:
            backend = known.get(spec.address)
            if backend is None:
                backend = Backend(spec, self.board.backend_rows(group.name, spec.address), self.board)
                backend.pool = Pool(backend, settings.pool, self.sweep, head_size, head_count)
            else:
                backend.spec = spec
                backend.pool.adopt(settings.pool, head_size, head_count)
            members.append(backend)
        return members

    def _retire(self, name: str, leaving: Iterable[Backend]) -> None:
        for backend in leaving:
            backend.pool.retire()
            self.retired.append((name, backend))

    def _forget_retired(self) -> None:
        """Forget retired backends without requests. With a single process their rows of the board are freed too."""
        for name, backend in list(self.retired):
            if backend.pool.size or backend.pool.waiting or backend.in_flight:
                continue
            self.retired.remove((name, backend))
            self.sweep.watched.discard(backend.pool)
            group = self.groups.get(name)
            back = group is not None and any(member.name == backend.name for member in group.members.all)
            if self.board.fd < 0 and not back:
                self.board.forget_backend(name, backend.name)

    async def close(self) -> None:
        """Close all pools and the clients of shared rate limits."""
        for remote in self.remotes.values():
            await remote.close()
        for group in self.groups.values():
            for backend in group.members.all:
                await backend.pool.close()
        for _, backend in self.retired:
            await backend.pool.close()
