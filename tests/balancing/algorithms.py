"""Algorithms as a user would write them, named in tests as `tests.balancing.algorithms:Class`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from proxy.balancing import Balancer, Done
from proxy.upstream.backend import Backend


class LastByKey(Balancer):
    """Needs a key and takes a parameter; the key's last byte chooses."""

    name = "last_by_key"
    needs_key = True

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset
        self.backends: Sequence[Backend] = ()
        self.keys: list[bytes | None] = []
        self.events: list[tuple[str, str]] = []

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = usable

    def pick(self, key: bytes | None) -> Backend | None:
        self.keys.append(key)
        if not key:
            return None
        return self.backends[(key[-1] + self.offset) % len(self.backends)]

    def assigned(self, backend: Backend) -> None:
        self.events.append(("assigned", backend.name))

    def released(self, backend: Backend, done: Done) -> None:
        assert done.seconds >= 0
        self.events.append(("released", backend.name))


class Broken(Balancer):
    """Fails on every pick."""

    name = "broken"

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        pass

    def pick(self, key: bytes | None) -> Backend | None:
        raise RuntimeError("this algorithm is broken")


class FailsIn(Balancer):
    """Takes turns, and fails in the method that it is told."""

    name = "fails_in"

    def __init__(self, method: str) -> None:
        self.method = method
        self.backends: Sequence[Backend] = ()
        self.turn = -1

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = usable

    def pick(self, key: bytes | None) -> Backend | None:
        self._fail("pick")
        self.turn += 1
        return self.backends[self.turn % len(self.backends)]

    def assigned(self, backend: Backend) -> None:
        self._fail("assigned")

    def released(self, backend: Backend, done: Done) -> None:
        self._fail("released")

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise RuntimeError(f"broken in {method}")


class Blocks(Balancer):
    """Takes turns, and holds everything up in the method that it is told."""

    name = "blocks"

    def __init__(self, method: str, seconds: float = 0.02) -> None:
        self.method = method
        self.seconds = seconds
        self.backends: Sequence[Backend] = ()
        self.turn = -1
        self.blocked: Counter[str] = Counter()

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = usable

    def pick(self, key: bytes | None) -> Backend | None:
        self._block("pick")
        self.turn += 1
        return self.backends[self.turn % len(self.backends)]

    def assigned(self, backend: Backend) -> None:
        self._block("assigned")

    def released(self, backend: Backend, done: Done) -> None:
        self._block("released")

    def _block(self, method: str) -> None:
        if method == self.method:
            self.blocked[method] += 1
            time.sleep(self.seconds)


class NotABalancer:
    """Has none of the methods."""


class InOrder(Balancer):
    """The first usable member, always."""

    name = "in_order"

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = list(usable)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.backends[0] if self.backends else None
