"""How much of its machine a backend gets: other tenants take their part, for minutes and in bursts.

Law of this file: it has dice of its own, so all policies see the same capacities at the same times.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from .agenda import Agenda
from .server import Server

BASES = ((3.0, 0.7), (2.0, 0.2), (1.0, 0.1))
"""Cores that are free for a backend while nobody bursts, and how often it is so many."""
BASE_LASTS, QUIET_LASTS, BURST_LASTS = 60.0, 15.0, 1.0
"""Seconds, on average."""
BURST_LEAVES = 0.6


class Antagonists:
    """Other tenants of the machines of some backends."""

    def __init__(self, agenda: Agenda, servers: Sequence[Server], seed: int) -> None:
        self.agenda = agenda
        self.servers = servers
        self.dice = Random(f"capacities {seed}")
        self.base = [self.draw() for _ in servers]
        self.bursting = [False for _ in servers]
        for n in range(len(servers)):
            self.apply(0.0, n)
            self.after(0.0, BASE_LASTS, self.redraw, n)
            self.after(0.0, QUIET_LASTS, self.burst, n)

    def after(self, now: float, mean: float, action: Any, n: int) -> None:
        self.agenda.at(now + self.dice.expovariate(1.0) * mean, action, n)

    def draw(self) -> float:
        spot = self.dice.random()
        for base, share in BASES:
            spot -= share
            if spot < 0:
                return base
        return BASES[-1][0]

    def redraw(self, now: float, n: int) -> None:
        self.base[n] = self.draw()
        self.apply(now, n)
        self.after(now, BASE_LASTS, self.redraw, n)

    def burst(self, now: float, n: int) -> None:
        self.bursting[n] = not self.bursting[n]
        self.apply(now, n)
        self.after(now, BURST_LASTS if self.bursting[n] else QUIET_LASTS, self.burst, n)

    def apply(self, now: float, n: int) -> None:
        base = self.base[n]
        self.servers[n].set_capacity(now, BURST_LEAVES * min(base, 1.0) if self.bursting[n] else base)
