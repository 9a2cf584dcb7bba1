"""Algorithms as users wrote them for the release before, with its hook names: `tests.balancing.former:Class`."""

# mypy: ignore-errors

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from proxy.balancing import Balancer, Done
from proxy.balancing.least_connections import LeastConnections
from proxy.balancing.round_robin import RoundRobin
from proxy.upstream.backend import Backend


class Former(Balancer):
    """In turn; it has all hooks, raises in one and blocks in one. Its fields have names that are hooks now."""

    def __init__(self, raises: str = "", blocks: str = "") -> None:
        self.raises, self.blocks = raises, blocks
        self.members: Any = []
        self.candidates: Any = []
        self.assigned: Any = 0
        self.turn = 0
        self.events: list[tuple[Any, ...]] = []
        self.blocked = 0

    def note(self, hook: str, *of: Any) -> None:
        self.events.append((hook, *of))
        if hook == self.raises:
            raise KeyError(f"broken in {hook}")
        if hook == self.blocks:
            self.blocked += 1
            time.sleep(0.02)

    def roster(self, members: Sequence[Backend]) -> None:
        self.note("roster", len(members))

    def census(self, members: Sequence[Backend]) -> None:
        self.note("census", len(members))

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.note("rebuild", len(members))
        self.members = list(members)

    def pick(self, key: bytes | None) -> Backend | None:
        self.turn += 1
        found: Backend = self.members[self.turn % len(self.members)]
        return found

    def took(self, backend: Backend) -> None:
        self.assigned += 1
        self.note("took", backend.name)

    def dropped(self, backend: Backend, done: Done) -> None:
        self.assigned -= 1
        self.note("dropped", backend.name)

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        self.note("reach", key)
        return [self.members]


class OnlyRebuild(Balancer):
    """The first member; most algorithms were no longer than this."""

    needs_key = True

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.members = list(members)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.members[0] if self.members else None


class Filters(LeastConnections):
    """A built-in one that is extended by its former hooks: backends named b get nothing."""

    def rebuild(self, members: Sequence[Backend]) -> None:
        super().rebuild([backend for backend in members if not backend.name.startswith("b")])

    def took(self, backend: Backend) -> None:
        super().took(backend)

    def dropped(self, backend: Backend, done: Done) -> None:
        super().dropped(backend, done)


class Reaches(RoundRobin):
    """Only `reach` has a former name."""

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return [[self.order[0]]] if super().reach(key) is None else None


class Both(Balancer):
    """For two releases: the hook of either calls the other's."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.rebuild(usable)

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.backends = list(members)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.backends[0]


class Renamed(Former):
    """Below one with former names, one that has the present ones."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = usable

    def assigned(self, backend: Backend) -> None: ...

    def released(self, backend: Backend, done: Done) -> None: ...

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None: ...

    def __init__(self) -> None: ...


class Shadows(Balancer):
    """Of this release, with a field that has the name of its hook `members`."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.members = list(usable)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.members[0] if self.members else None


class Hides(Balancer):
    """Of this release, with a field that hides a hook."""

    def __init__(self) -> None:
        self.candidates = ["a"]
