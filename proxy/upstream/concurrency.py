"""The adaptive concurrency limit: how many requests of a worker an upstream can have before they only wait there.

Law of this file: it sees times and counts, and says one number. Nothing here calls anybody, and nothing is measured
per request: the times come from the histogram that is kept anyway.

The gradient algorithm, after Netflix's concurrency-limits and Envoy's adaptive concurrency filter: `baseline` is how
long a response takes if nothing waits; each window compares the median with it. If responses take longer, requests
wait for each other, and the limit falls in that proportion; a square root of it is always allowed to wait, so that the
upstream never runs dry. Where these differ from each other, and what users of them suffer from:

- The baseline is measured anew once per `interval`, as in Envoy, since one that only follows the average (Netflix)
  learns an overload that lasts. It takes a moment with `min` requests in flight. Envoy refuses the others meanwhile;
  here they wait in the queue. All workers measure at the same moment, told by the clock: otherwise each would measure
  the load that the others make.
- A window in which the limit was not half used is such a measurement for nothing: then there is none to be made.
- The limit grows only if it is used. Otherwise a night without load would end with a limit that means nothing.
- What the worker itself adds is no wait at the upstream. The times end when a response is read, so they hold what the
  event loop did meanwhile: a busy worker before a fast upstream would see itself, lower its limit to `min`, and pay for
  each turn of its loop, with three requests in it, as much as for one with thirty. So the lateness of the loop is
  allowed on top of the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from ..metrics import Histogram

MOST_WINDOW = 1.0
"""Seconds after which a window ends although there were not enough responses."""
PROBE = 1.0
"""Seconds that a measurement takes at most."""
FALL, GROWTH = 0.5, 1.5
"""What a limit is multiplied by at least and at most in a window."""
FOLLOW = 0.1
"""How much of the difference the baseline goes up by in a window without load, and the mean lag follows in a tick."""
TURNS = 2.0
"""A tick that is due at any moment is late by half a turn of the loop on average; a response may wait a whole one."""
START = 20.0
"""The limit to begin with (Netflix: 20): to grow costs less than to have begun with too much."""


class ConcurrencySpec(NamedTuple):
    """How the limit of a worker is found. Times in seconds."""

    min: int = 3
    max: int = 1000
    interval: float = 60.0
    """Time between two measurements of the baseline."""
    samples: int = 50
    """Responses that are enough for a window."""
    buffer: float = 0.25
    """Responses may take this much longer than the baseline before the limit falls."""


class Gradient:
    """The limit of one worker at one upstream."""

    def __init__(self, spec: ConcurrencySpec, cells: Sequence[int], now: float) -> None:
        self.spec = spec
        self.cells = cells
        """The histogram of the upstream's response times."""
        self.limit = min(START, float(spec.max))
        self.baseline = 0.0
        """Seconds of a response that waits for no other; 0 if not known yet."""
        self.measured = 0.0
        """When the baseline was measured (seconds, monotonic)."""
        self.highest = 0
        """The most requests in flight in this window."""
        self.timeouts = 0
        """Requests of this window that were not answered in time."""
        self.lag = 0.0
        """Seconds by which the event loop is late, a mean over the latest ticks: one alone says little, since a tick is
        due at any moment of a turn."""
        self.probe_ends = 0.0
        """When the measurement that is going on has to be over; 0 if there is none."""
        self.settling = False
        """Whether what was begun before the measurement is still on its way."""
        self._begin(now)
        self._measure(now)

    def _begin(self, now: float) -> None:
        self.began = now
        self.before = list(self.cells)
        self.highest = self.timeouts = 0

    def _measure(self, now: float) -> None:
        self.probe_ends = now + PROBE
        self.settling = True

    @property
    def allowed(self) -> int:
        """How many requests the worker may have there."""
        return self.spec.min if self.probe_ends else int(self.limit)

    def tick(self, now: float, in_flight: int, lag: float = 0.0) -> None:
        """Look at what has come back since the last time, at time `now`; the event loop is `lag` seconds late."""
        self.highest = max(self.highest, in_flight)
        self.lag += (lag - self.lag) * FOLLOW if self.lag else lag
        if self.probe_ends:
            self._probe(now, in_flight)
            return
        seconds = now - self.began
        counts = [after - before for after, before in zip(self.cells, self.before, strict=True)]
        count = sum(counts)
        if count < self.spec.samples and seconds < MOST_WINDOW:
            return
        if count >= self.spec.samples or self.timeouts:
            self._learn(now, counts, count)
        if self.highest * 2 >= self.limit and now // self.spec.interval > self.measured // self.spec.interval:
            self._measure(now)
        self._begin(now)

    def _learn(self, now: float, counts: list[int], count: int) -> None:
        if self.timeouts * 2 > count:
            self._set(FALL)
            return
        median = quantile(counts, 0.5)
        if not self.baseline or median < self.baseline:
            self.baseline = median
        if self.highest * 2 < self.limit:  # nobody waits for another: the baseline is what is seen
            self.baseline += (median - self.baseline) * FOLLOW
            self.measured = now
            return
        self._set((self.baseline + TURNS * self.lag) * (1.0 + self.spec.buffer) / median)

    def _set(self, factor: float) -> None:
        wanted = self.limit * min(GROWTH, max(FALL, factor)) + (sqrt(self.limit) if factor > FALL else 0.0)
        self.limit = min(float(self.spec.max), max(float(self.spec.min), wanted))

    def _probe(self, now: float, in_flight: int) -> None:
        if self.settling and in_flight <= self.spec.min and now < self.probe_ends:
            self.settling = False
            self._begin(now)
            return
        counts = [after - before for after, before in zip(self.cells, self.before, strict=True)]
        count = sum(counts)
        if now < self.probe_ends and (self.settling or count < self.spec.samples):
            return
        if not self.settling and count * 5 >= self.spec.samples:
            self.baseline = quantile(counts, 0.5)
        self.measured = now
        self.probe_ends = 0.0
        self._begin(now)


def quantile(counts: Sequence[int], part: float) -> float:
    """The seconds below which `part` of the observations of a histogram lie, taken as spread evenly in each cell."""
    total = sum(counts)
    wanted = part * total
    seen = 0
    for cell, count in enumerate(counts):
        if count and seen + count >= wanted:
            low = Histogram.bound(cell - 1) if cell else 0.0
            return low + (Histogram.bound(cell) - low) * (wanted - seen) / count
        seen += count
    return 0.0
