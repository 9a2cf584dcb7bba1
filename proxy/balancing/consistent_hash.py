"""Consistent hashing: a ring of points, a key goes to the backend whose point comes next, unless that one is too busy.

When a backend leaves, its keys are shared out over the others and no other keys move; the number of its points follows
from its weight, their positions from its address (mmh3, see sharding/ring.py). Bounded loads are on: no backend
has more than 1.5 times its share of the requests in flight, so that one hot key cannot overload one backend (hashed.py;
HAProxy: hash-balance-factor 150, Envoy: RING_HASH with hash_balance_factor 150). A pick costs one hash and one lookup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..sharding.placement import Placement
from ..sharding.ring import POINTS, Ring, unit_for
from ..upstream.backend import Backend
from .hashed import QUIET, Hashed

FACTOR = 1.5


class ConsistentHash(Hashed):
    """A ring with bounded loads."""

    name = "consistent_hash"

    def __init__(self, factor: float | None = FACTOR, quiet: float = QUIET, points: int = POINTS) -> None:
        super().__init__(factor, quiet)
        if not isinstance(points, int) or isinstance(points, bool) or not 1 <= points <= 65_536:
            raise ValueError(f"points: must be a whole number from 1 to 65536, not {points!r}")
        self.points = points
        self.configured = 0
        """The sum of weights in rotation, healthy or not: if the number of points depended on health, all points would
        move."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.configured = sum(backend.spec.weight for backend in in_rotation)
        super().members(listed, in_rotation, usable)

    def extent(self, weights: Mapping[str, float]) -> float:
        return unit_for(self.points, max(self.configured, sum(weights.values())))

    def place(self, weights: Mapping[str, float]) -> Placement:
        return Ring(weights, self.extent(weights))
