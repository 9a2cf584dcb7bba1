"""A ring: each name has points on a circle, and a key belongs to whose point comes next.

Where a name's points lie depends on its name alone, and how many there are on its weight alone, so when a name goes,
its keys are shared out over the others and no other key moves. Source: Karger et al., "Consistent hashing and random
trees", STOC 1997; points by weight as in ketama. Shares differ from the weights by about 1 / sqrt(points).
A lookup is one step and not a bisection: a table says where the points begin that have the same topmost bits. A point
has 48 bits, and in the 16 bits behind it stands whose it is, as a lookup is mostly memory that is not in the cache.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from .placement import Placement
from .tables import arcs, ring

POINTS = 512
"""Points for a weight of 1: with two names that is 1,024 points in all, and shares within about 5 %."""
MOST_POINTS = 1 << 20
OWNER = 0xFFFF
"""Of a point, the bits that say whose it is."""


class Ring(Placement):
    """`unit` is the number of points for a weight of 1; everybody has at least one."""

    def __init__(self, weights: Mapping[str, float], unit: float = POINTS) -> None:
        super().__init__(weights)
        counts = array("i", [max(1, round(weight * unit)) for weight in self.weights])
        self.points, self.starts, self.shift = ring(self.seeds, counts)

    def at(self, place: int) -> int:
        at = self.starts[place >> self.shift]
        last = len(self.points)
        place &= ~OWNER
        while at < last and self.points[at] < place:
            at += 1
        return (self.points[at] if at < last else self.points[0]) & OWNER

    def shares(self) -> dict[str, float]:
        return dict(zip(self.names, arcs(self.points, len(self.names)), strict=True))


def unit_for(points: float, total: float) -> float:
    """`points` for a weight of 1, halved until a `total` of weights has no more than MOST_POINTS: in so coarse steps,
    it hardly ever changes, and when it does most keys stay all the same."""
    while points * total > MOST_POINTS:
        points /= 2
    return points
