"""The base of algorithms that go by a key: each key has its place at one backend; with bounded loads it goes on to
another one while that backend is full.

Law of this file: the place of a key depends on names and weights alone, so all workers and all proxies agree; where it
goes from a full place depends on the key and on the loads, and on no chance. Health decides nothing here: all members
are usable. (Mirrokni, Thorup, Zadimoghaddam, "Consistent hashing with bounded loads", arXiv 1608.01350; the next place
is a jump and not the neighbour, which would be overloaded: Chen, Coleman, Shrivastava, arXiv 1908.08762.)
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from ..sharding.placement import Placement
from ..sharding.tables import hash_of, next_hash
from ..upstream.backend import Backend
from .base import Balancer, Done

QUIET = 4.0
"""Requests per backend below which limits do not sink. With a factor of 1.5 one backend may have 6 requests even if the
others have none: as many connections as a browser opens to one host."""
JUMPS = 32
_JUMPS = JUMPS
"""Places that are tried before the rest is searched in order; each is free with a probability of at least
1 - 1 / factor, so that at 1.5 all are full once in 400,000 picks under full load."""
WHOLE = 1e-9
_WHOLE = WHOLE
"""The excess of a limit over a whole number that is rounding alone."""


class Hashed(Balancer):
    """Subclasses make the placement, in `place`.

    No backend gets more requests at a time than `factor` times its share of all, rounded up; 0 is no limit. With fewer
    than `quiet` requests per backend the limit is that of `quiet`.
    """

    needs_key = True

    def __init__(self, factor: float | None, quiet: float) -> None:
        self.factor = checked_factor(factor)
        self.quiet = checked_quiet(quiet)
        self.described: tuple[dict[str, float], Hashable] = {}, None
        """The arguments of the placement: weights by name, and its extent."""
        self.placement: Placement | None = None
        self.backends: list[Backend] = []
        """In the order of the placement's names."""
        self.places: dict[Backend, int] = {}
        self.limits = array("d")
        """For each member, `factor` times its share of requests."""
        self.least = 0.0
        """The least total that limits are computed from, in requests."""
        self.mine = 0
        """Requests in flight of this worker at the members; with a limit, kept up with each request."""
        self.others = 0
        """Requests in flight of the other workers, as of the last tick."""

    def extent(self, weights: Mapping[str, float]) -> Hashable:
        """The size of the placement, where it depends on more than these weights."""
        return None

    def place(self, weights: Mapping[str, float]) -> Placement:
        """The placement of names with these weights, at least one."""
        raise NotImplementedError

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        named = {backend.name: backend for backend in usable if backend.weight > 0}
        self.backends = [named[name] for name in sorted(named)]
        self.places = {backend: at for at, backend in enumerate(self.backends)}
        weights = {backend.name: backend.weight / backend.scale for backend in self.backends}
        described = weights, self.extent(weights)
        if described != self.described or self.placement is None:
            self.placement = self.place(weights) if weights else None
            self.described = described
        factor, total = self.factor, sum(weights.values())
        self.limits = array("d", [factor * weight / total for weight in weights.values()])
        self.least = self.quiet * len(self.backends)
        self.recount()

    def pick(self, key: bytes | None) -> Backend | None:
        placement = self.placement
        if placement is None:
            return None
        place = hash_of(key or b"")
        at = placement.at(place)
        if self.factor > 0.0 and not self.has_room(at):
            at = self.beyond(place, at)
        return self.backends[at]

    def has_room(self, at: int) -> bool:
        """Whether a member may have one more request."""
        backend: Backend = self.backends[at]
        total = float(self.mine + self.others + 1)
        if total < self.least:
            total = self.least
        return backend.load() < total * self.limits[at] - _WHOLE

    def beyond(self, place: int, full: int) -> int:
        """The place for a key whose own place is full: the first one with room in the sequence of its hash."""
        placement = self.placement
        if placement is None:
            return full
        for _ in range(_JUMPS):
            place = next_hash(place)
            at = placement.at(place)
            if self.has_room(at):
                return at
        count = len(self.backends)
        start = place % count
        for step in range(count):
            at = (start + step) % count
            if self.has_room(at):
                return at
        return full  # there is room by definition, unless what other workers have has changed since the last tick

    def assigned(self, backend: Backend) -> None:
        if self.factor > 0.0 and backend in self.places:
            self.mine += 1

    def released(self, backend: Backend, done: Done) -> None:
        if self.factor > 0.0 and backend in self.places:
            self.mine -= 1

    def tick(self, now: float) -> None:
        if self.factor > 0.0:
            self.recount()

    def recount(self) -> None:
        """Count requests in flight of this worker and of the others, those of other algorithms included."""
        mine, total = 0, 0
        for backend in self.backends:
            mine += backend.in_flight
            total += backend.load()
        self.mine, self.others = mine, total - mine

    def explain(self) -> dict[str, Any]:
        placement = self.placement
        if placement is None:
            return {"backends": {}, "picks": []}
        total = max(self.least, float(self.mine + self.others + 1))
        rows = {}
        for (name, share), backend, limit in zip(placement.shares().items(), self.backends, self.limits, strict=True):
            rows[name] = {"share_of_keys": share, "in_flight": backend.load()}
            if self.factor > 0.0:
                rows[name]["limit"] = -int(-(total * limit - WHOLE) // 1)
        return {"backends": rows, "picks": []}


def checked_factor(factor: float | None) -> float:
    """0 for no bounded loads. Raises ValueError."""
    if factor is None or (isinstance(factor, int | float) and factor == 0):
        return 0.0
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not 1.0 < factor <= 100.0:
        raise ValueError(f"factor: must be greater than 1 and at most 100, or null for no limit, not {factor!r}")
    return float(factor)


def checked_quiet(quiet: float) -> float:
    """Raises ValueError unless it may be a number of requests."""
    if not isinstance(quiet, int | float) or isinstance(quiet, bool) or not 0 <= quiet <= 1_000_000:
        raise ValueError(f"quiet: must be a number of requests for each backend, 0 or more, not {quiet!r}")
    return float(quiet)
