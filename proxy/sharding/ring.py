"""A ring: each name has points on a circle, and a key belongs to the name of the next point.

The positions of a name's points depend on the name alone, and their number on its weight alone, so when a name goes,
its keys are shared out over the others and no other key moves. Source: Karger et al., "Consistent hashing and random
trees", STOC 1997; points by weight as in ketama. Shares differ from the weights by about 1 / sqrt(points).
A lookup is one step and not a bisection: a table has the beginnings of points with the same topmost bits. A point has
48 bits, and its owner is in the 16 bits behind it, since most of the cost of a lookup is cache misses.
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
"""The bits of a point that are its owner."""


class Ring(Placement):
    """`unit` is the number of points for a weight of 1; each name has at least one."""

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
    """`points` for a weight of 1, halved until a `total` of weights has no more than MOST_POINTS: by steps that coarse
    it rarely changes, and when it does most keys stay."""
    while points * total > MOST_POINTS:
        points /= 2
    return points
