"""Priorities: the backends of a level get requests only as far as those of the levels before it cannot.

How far is Envoy's (priority levels, overprovisioning factor): a level counts as able to serve all as long as the
healthy share of its backends, times the factor, is not below 1; below that the rest goes to the next level. So a level
that loses backends spills over gradually, and no cliff is in the way. With a factor of 1.4 that begins below 71.4 %.

Law of this file: what is able is what is healthy. Where there is panic, unhealthy backends are among the usable ones,
and what their level gets is still measured by the healthy ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

from ...upstream.backend import Backend
from .partition import Make, Part, Parts


class Levels(Parts):
    """Divides members by their priority; 0 comes first."""

    name = "priority"
    salt = 0x52

    def __init__(self, make: Make, factor: float = 1.4, seed: int | None = None) -> None:
        super().__init__(make, seed)
        self.factor = factor

    def divide(self, members: Sequence[Backend]) -> list[Part]:
        levels: dict[int, list[Backend]] = {}
        for backend in members:
            if backend.weight > 0:
                levels.setdefault(backend.spec.priority, []).append(backend)
        total = counted(self.everyone or members)
        well = counted(backend for backend in members if backend.healthy)
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
    """How many there are of each priority; those that have no weight do not count."""
    return Counter(backend.spec.priority for backend in members if backend.weight > 0)


def ability(well: int, total: int, factor: float) -> float:
    """How much of everything so many healthy backends of a total can serve, from 0 to 1."""
    return min(1.0, factor * well / total) if total else 0.0


def first_only(levels: dict[int, list[Backend]]) -> list[Part]:
    """Nobody is healthy, and what there is was taken in panic: the first level has it all."""
    order = sorted(levels)
    return [Part(level, levels[level], float(level == order[0])) for level in order]


def shares_of(able: Sequence[float]) -> list[float]:
    """What each level gets, if each can serve so much (0 to 1) of everything: as much as it can of what is left. If
    all of them together cannot serve everything, each gets its part of that."""
    left, total = 1.0, min(1.0, sum(able))
    shares = []
    for each in able:
        share = min(left, each / total) if total > 0 else 0.0
        shares.append(share)
        left = left - share if left - share > 1e-9 else 0.0  # what rounding leaves is no share
    return shares
