"""The adaptive concurrency limit: the number of requests in flight beyond which requests only wait at the upstream.

Law of this file: times and counts in, one number out. Nothing is measured per request: the times are those of the
histogram of response times.

The gradient algorithm, after Netflix's concurrency-limits and Envoy's adaptive concurrency filter: `baseline` is the
response time without queueing; each window compares its median with it. A longer median means queueing, and the limit
falls in that proportion; a square root of the limit is always added as queue, so that the upstream never runs dry.
Choices where the two differ, or have known problems:

- The baseline is measured anew once per `interval`, as in Envoy, since one that only follows the average (Netflix)
  learns an overload that lasts. A measurement takes a moment with `min` requests in flight. Envoy refuses the others
  meanwhile; here they wait in the queue. All workers measure at the same time of the clock: otherwise each would
  measure the load of the others.
- A window that uses less than half of the limit is a measurement too, and defers the next one.
- The limit grows only while it is used. Otherwise a night without load would end with a meaningless limit.
- The delay of the event loop is no queueing at the upstream. A response time ends when the response is read, and so
  includes the turn of the loop: a busy worker before a fast upstream would measure itself, lower its limit to `min`,
  and turn its loop for three requests at the cost of thirty. So the lag of the loop is added to the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

from ..metrics import Histogram

MOST_WINDOW = 1.0
"""Seconds after which a window ends with fewer responses than `samples`."""
PROBE = 1.0
"""The longest measurement, in seconds."""
FALL, GROWTH = 0.5, 1.5
"""The smallest and the largest factor of the limit per window."""
FOLLOW = 0.1
"""The smoothing factor of the baseline in a window without load, and of the mean lag per tick."""
TURNS = 2.0
"""A tick is late by half a turn of the loop on average; a response may wait for a whole one."""
START = 20.0
"""The initial limit (Netflix: 20): growing costs less than beginning with too much."""


class ConcurrencySpec(NamedTuple):
    """Parameters of the limit of one worker. Times in seconds."""

    min: int = 3
    max: int = 1000
    interval: float = 60.0
    """Time between two measurements of the baseline."""
    samples: int = 50
    """Responses per window."""
    buffer: float = 0.25
    """The share by which the median may exceed the baseline before the limit falls."""


class Gradient:
    """The limit of one worker at one upstream."""

    def __init__(self, spec: ConcurrencySpec, cells: Sequence[int], now: float) -> None:
        self.spec = spec
        self.cells = cells
        """The histogram of the upstream's response times."""
        self.limit = min(START, float(spec.max))
        self.baseline = 0.0
        """The response time without queueing, in seconds; 0 while unknown."""
        self.measured = 0.0
        """The time of the last measurement of the baseline (seconds, monotonic)."""
        self.highest = 0
        """The most requests in flight in this window."""
        self.timeouts = 0
        """Requests of this window that timed out."""
        self.lag = 0.0
        """The delay of the event loop in seconds, a mean over the latest ticks: a single one varies with its position
        in a turn."""
        self.probe_ends = 0.0
        """The latest end of the present measurement; 0 without one."""
        self.settling = False
        """Whether requests from before the measurement are still in flight."""
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
        """The present limit on requests in flight."""
        return self.spec.min if self.probe_ends else int(self.limit)

    def tick(self, now: float, in_flight: int, lag: float = 0.0) -> None:
        """Evaluate the responses since the last tick, at time `now`; the event loop is `lag` seconds late."""
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
        if self.highest * 2 < self.limit:  # no queueing: the median is the baseline
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
    """The quantile `part` (0 to 1) of a histogram in seconds, interpolated linearly within its cell; 0 without
    observations."""
    total = sum(counts)
    rank = part * total
    seen = 0
    for cell, count in enumerate(counts):
        if count and seen + count >= rank:
            low = Histogram.bound(cell - 1) if cell else 0.0
            return low + (Histogram.bound(cell) - low) * (rank - seen) / count
        seen += count
    return 0.0
