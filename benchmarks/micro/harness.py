"""Timing one call: batches against a monotonic clock, with the cost of calling itself taken off.

Law of this file: a case is set up when its turn comes, and not at all if it has none. The number of calls in a batch is
found once per case, so that a batch takes about BATCH_SECONDS; batches of the case and of an empty call, or what the
case names in its place, take turns; the least empty batch is taken off each. The minimum is what the code costs, the
median what it costs on this machine today. No garbage is collected.
"""

from __future__ import annotations

import gc
import statistics
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[[], object]

BATCH_SECONDS = 0.01


def nothing() -> None:
    """The empty call whose cost is taken off."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to time. `calls`: operations in one call; `mark`: what one may cost, in ns."""

    name: str
    make: Callable[[], Call | tuple[Call, Call]]
    """Sets it up. What it returns is called; of two calls, the second is what is taken off the first."""
    calls: int = 1
    mark: float | None = None

    def set_up(self) -> tuple[Call, Call]:
        made = self.make()
        return made if isinstance(made, tuple) else (made, nothing)


@dataclass(frozen=True, slots=True)
class Timing:
    """Nanoseconds per operation."""

    name: str
    minimum: float
    median: float
    batches: int
    calls_per_batch: int
    mark: float | None

    @property
    def met(self) -> bool:
        return self.mark is None or self.minimum <= self.mark


def batch(call: Callable[[], object], number: int) -> int:
    """Return the nanoseconds that a number of calls took."""
    begin = perf_counter_ns()
    for _ in repeat(None, number):
        call()
    return perf_counter_ns() - begin


def calibrate(call: Callable[[], object]) -> int:
    """Return how many calls fill a batch."""
    number = 1
    while (took := batch(call, number)) < BATCH_SECONDS * 1e9 / 4:
        number *= 2
    return max(1, round(number * BATCH_SECONDS * 1e9 / took))


def time_case(case: Case, batches: int) -> Timing:
    call, empty = case.set_up()
    number = calibrate(call)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        pairs = [(batch(call, number), batch(empty, number)) for _ in range(batches)]
    finally:
        if was_enabled:
            gc.enable()
    least = min(own for _, own in pairs)
    costs = [max(0, took - least) / number / case.calls for took, _ in pairs]
    return Timing(case.name, min(costs), statistics.median(costs), batches, number, case.mark)
