"""Priorities: the backends of a level get the requests that the levels before it have no capacity for.

The capacity is Envoy's (priority levels, overprovisioning factor): a level serves everything as long as the healthy
share of its backends, times the factor, is at least 1; below that the rest goes to the next level. So a level that
loses backends spills over gradually: with a factor of 1.4 from 71.4 % downwards.

Law of this file: capacity is measured by healthy backends. In panic unhealthy backends are usable too, and the share of
their level is still that of the healthy ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

from ...upstream.backend import Backend
from .partition import Make, Part, Partition


class Priorities(Partition):
    """Divides members by their priority; 0 comes first."""

    name = "priority"
    salt = 0x52

    def __init__(self, make: Make, factor: float = 1.4, seed: int | None = None) -> None:
        super().__init__(make, seed)
        self.factor = factor

    def divide(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> list[Part]:
        levels: dict[int, list[Backend]] = {}
        for backend in usable:
            if backend.weight > 0:
                levels.setdefault(backend.spec.priority, []).append(backend)
        total = counted(in_rotation)
        well = counted(backend for backend in usable if backend.healthy)
        order = sorted({*total, *levels})
        able = [ability(well[level], total[level], self.factor) for level in order]
        if not any(able):
            return first_only(levels)
        return [
            Part(level, levels[level], share)
            for level, share in zip(order, shares_of(able), strict=True)
            if level in levels
        ]

    def label_of(self, backend: Backend) -> Hashable:
        return backend.spec.priority

    def ranked(self, parts: Sequence[Sequence[Sequence[Backend]]]) -> Sequence[Sequence[Backend]]:
        return list(chain(*parts))  # in the order of the levels


def counted(members: Iterable[Backend]) -> Counter[int]:
    """The number of backends of each priority, without those of weight 0."""
    return Counter(backend.spec.priority for backend in members if backend.weight > 0)


def ability(well: int, total: int, factor: float) -> float:
    """The share of all requests that `well` healthy backends of `total` can serve, from 0 to 1."""
    return min(1.0, factor * well / total) if total else 0.0


def first_only(levels: dict[int, list[Backend]]) -> list[Part]:
    """The parts in panic without a healthy backend: the first level gets everything."""
    order = sorted(levels)
    return [Part(level, levels[level], float(level == order[0])) for level in order]


def shares_of(able: Sequence[float]) -> list[float]:
    """The share of each level, from the capacities of all (0 to 1 of everything): of what is left, as much as it can
    serve. If all together cannot serve everything, shares are in proportion to the capacities."""
    left, total = 1.0, min(1.0, sum(able))
    shares = []
    for each in able:
        share = min(left, each / total) if total > 0 else 0.0
        shares.append(share)
        left = left - share if left - share > 1e-9 else 0.0  # what rounding leaves is no share
    return shares
