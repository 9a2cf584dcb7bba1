"""Smooth weighted round robin: backends in turn, in proportion to their weights, never in bursts.

The order is nginx's: at each step every backend gains its weight, the highest goes next and gives up the total.
Weights 5, 1, 1 give a a b a c a a. The order repeats after sum(weights) / gcd(weights) steps, so it is worked
out once per change of members and a pick is one list access. Beyond MOST_WORK steps times backends it comes from a
sorted schedule (backend i's k-th turn at (k + ½) / weight), which is as smooth but breaks ties differently. Beyond
MOST_TURNS, as of many backends whose weights are parts of others, weights are rounded until it is that long.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

from ..upstream.backend import Backend
from .base import Balancer
from .structures.sampling import dice

MOST_WORK = 200_000
MOST_TURNS = 200_000
"""A schedule of millions would take seconds to work out, and gigabytes."""


class RoundRobin(Balancer):
    """Each backend in turn, in proportion to its weight."""

    name = "round_robin"

    def __init__(self, seed: int | None = None) -> None:
        self.dice = dice(seed)
        self.order: list[Backend] = []
        self.next = 0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        weighted = [backend for backend in usable if backend.weight > 0]
        self.order = smooth_order(weighted)
        # a random start: else all proxies of a fleet begin at the same backend
        self.next = int(self.dice() * len(self.order))

    def pick(self, key: bytes | None) -> Backend | None:
        position = self.next
        if position >= len(self.order):
            if not self.order:
                return None
            position = 0
        self.next = position + 1
        return self.order[position]


def smooth_order(backends: Sequence[Backend]) -> list[Backend]:
    """One period of the schedule."""
    if not backends:
        return []
    divisor = gcd(*(backend.weight for backend in backends))
    weights = [backend.weight // divisor for backend in backends]
    total = sum(weights)
    if total == len(backends):
        return list(backends)
    if total > MOST_TURNS:
        weights = [max(1, round(weight * MOST_TURNS / total)) for weight in weights]
        total = sum(weights)
    if total * len(backends) > MOST_WORK:
        whose = [backend for backend, weight in zip(backends, weights, strict=True) for _ in range(weight)]
        when = [(k + 0.5) / weight for weight in weights for k in range(weight)]
        return [whose[turn] for turn in sorted(range(total), key=when.__getitem__)]
    order = []
    current = [0] * len(weights)
    for _ in range(total):
        current = [have + weight for have, weight in zip(current, weights, strict=True)]
        best = max(range(len(current)), key=current.__getitem__)
        current[best] -= total
        order.append(backends[best])
    return order
