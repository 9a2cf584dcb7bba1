"""Load shedding: which share of the requests a worker refuses while it has more to do than it can.

Law of this file: low priorities go first, and wholly, before the next one is touched; `CRITICAL` never goes. What is
refused is spread evenly over the requests, not drawn by lot.

The level rises with each look at a worker under pressure, the faster the higher the pressure, and falls slowly after
it: the load is not known beforehand, so the share that has to go is found by trying. 0 to 1 is the share of `LOW` that
is refused, 1 to 2 that of `NORMAL`, 2 to 3 that of `HIGH`.
"""

from __future__ import annotations

from typing import NamedTuple

PRIORITIES = ("critical", "high", "normal", "low")
CRITICAL, HIGH, NORMAL, LOW = range(4)
RISE = 0.1
FALL = 0.05
MOST_RISE = 4.0
TOP = 2.95
"""Some of `HIGH` are always let in: without them nobody would learn that the pressure is gone."""


class ShedSpec(NamedTuple):
    """When a worker has too much to do; 0 is no limit."""

    lag: float = 0.25
    """Seconds that its event loop is late."""
    memory: int = 0
    """Bytes that it has in memory."""


class Shedder:
    """What one worker sheds."""

    def __init__(self) -> None:
        self.spec: ShedSpec | None = None
        self.level = 0.0
        self.shares = [0.0] * len(PRIORITIES)
        self.debts = [0.0] * len(PRIORITIES)

    def adopt(self, spec: ShedSpec | None) -> None:
        """Take up what a plan says."""
        self.spec = spec
        if spec is None:
            self._set(0.0)

    def look(self, lag: float, memory: int) -> None:
        """Once per tick: how late the loop is (seconds), and how much memory (bytes) there is in use."""
        spec = self.spec
        if spec is None:
            return
        pressure = max(lag / spec.lag if spec.lag else 0.0, memory / spec.memory if spec.memory else 0.0)
        if pressure > 1.0:
            self._set(min(TOP, self.level + RISE * min(MOST_RISE, pressure)))
        elif self.level > 0.0:
            self._set(max(0.0, self.level - FALL))

    def _set(self, level: float) -> None:
        self.level = level
        for priority in (HIGH, NORMAL, LOW):
            self.shares[priority] = min(1.0, max(0.0, level - (LOW - priority)))

    def refuses(self, priority: int) -> bool:
        """Whether the next request of a priority is refused."""
        share = self.shares[priority]
        if share <= 0.0:
            return False
        debt = self.debts[priority] + share
        refused = debt >= 1.0
        self.debts[priority] = debt - 1.0 if refused else debt
        return refused
