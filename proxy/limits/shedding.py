"""Load shedding: the share of requests that a worker refuses under overload.

Law of this file: low priorities are refused first, and wholly, before the next one is; `CRITICAL` never is. Refusals
are spread evenly over the requests, not at random.

The level rises with each measurement of a worker under pressure, the faster the higher the pressure, and falls slowly
after it: the load is not known beforehand, so the share is found by trial. 0 to 1 is the share of `LOW` that is
refused, 1 to 2 that of `NORMAL`, 2 to 3 that of `HIGH`.
"""

from __future__ import annotations

from typing import NamedTuple

PRIORITIES = ("critical", "high", "normal", "low")
CRITICAL, HIGH, NORMAL, LOW = range(4)
RISE = 0.1
FALL = 0.05
MOST_RISE = 4.0
TOP = 2.95
"""The highest level. Some of `HIGH` are always admitted: without requests the end of the pressure is not seen."""


class ShedSpec(NamedTuple):
    """The limits above which a worker is overloaded; 0 for none."""

    lag: float = 0.25
    """The lag of its event loop in seconds."""
    memory: int = 0
    """Its memory in bytes."""


class Shedder:
    """The load shedding of one worker."""

    def __init__(self) -> None:
        self.spec: ShedSpec | None = None
        self.level = 0.0
        self.shares = [0.0] * len(PRIORITIES)
        self.debts = [0.0] * len(PRIORITIES)

    def adopt(self, spec: ShedSpec | None) -> None:
        """Set the limits."""
        self.spec = spec
        if spec is None:
            self._set(0.0)

    def look(self, lag: float, memory: int) -> None:
        """Measure once per tick: the lag of the loop (seconds), and the memory in use (bytes)."""
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
