"""Priorities: the backends of a level get requests only as far as those of the levels before it cannot.

How far is Envoy's (priority levels, overprovisioning factor): a level counts as able to serve all as long as the
healthy share of its backends, times the factor, is not below 1; below that the rest goes to the next level. So a level
that loses backends spills over gradually, and no cliff is in the way. With a factor of 1.4 that begins at 72 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..upstream.backend import Backend
from .parts import Make, Part, Parts


class Levels(Parts):
    """Divides members by their priority; 0 comes first."""

    name = "priority"

    def __init__(self, make: Make, factor: float = 1.4) -> None:
        super().__init__(make)
        self.factor = factor

    def divide(self, members: Sequence[Backend]) -> list[Part]:
        levels: dict[int, list[Backend]] = {}
        for backend in members:
            levels.setdefault(backend.spec.priority, []).append(backend)
        total = Counter(backend.spec.priority for backend in self.everyone or members)
        wanted = sorted(total)
        able = {
            level: min(1.0, self.factor * _usable(levels.get(level, ())) / max(1, total[level])) for level in wanted
        }
        shares = shares_of([able[level] for level in wanted])
        return [
            Part(level, levels[level], share) for level, share in zip(wanted, shares, strict=True) if level in levels
        ]

    def all_of(self, part: Part) -> Sequence[Backend]:
        return [backend for backend in self.everyone if backend.spec.priority == part.label] or part.members


def _usable(members: Sequence[Backend]) -> int:
    return sum(backend.weight > 0 for backend in members)


def shares_of(able: Sequence[float]) -> list[float]:
    """What each level gets, if each can serve so much (0 to 1) of everything: as much as it can of what is left. If
    all of them together cannot serve everything, each gets its part of that."""
    left, total = 1.0, min(1.0, sum(able))
    shares = []
    for each in able:
        share = min(left, each / total) if total > 0 else 0.0
        shares.append(share)
        left -= share
    return shares
