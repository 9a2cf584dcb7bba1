"""The steady state: what the proxy does when nothing is wrong with it, and whether it still does.

Law of this file: it judges what clients see, whoever caused it. Differences of samples only, no clock.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ...metrics import Histogram
from ..sections.chaos import ChaosLimits
from .contract import Sample

LEAST = 20
"""Requests below which a 99th percentile says nothing."""


class State(NamedTuple):
    """What happened between two samples."""

    seconds: float
    requests: int
    errors: int
    p99: float
    """Seconds; 0 if there were too few requests to tell."""

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def as_json(self) -> dict[str, float]:
        return {
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "error_rate": round(self.error_rate, 5),
            "p99": round(self.p99, 6),
        }


def between(before: Sample, after: Sample) -> State:
    """What happened from one sample to another."""
    requests = after.requests - before.requests
    p99 = 0.0
    if requests >= LEAST:
        histogram = Histogram()
        for cell, (then, now) in enumerate(zip(before.seconds, after.seconds, strict=True)):
            histogram.cells[cell] = now - then
        p99 = histogram.quantile(0.99)
    return State(after.at - before.at, requests, after.errors - before.errors, p99)


class Guard:
    """Watches one experiment."""

    def __init__(self, limits: ChaosLimits, baseline: State, start: Sample) -> None:
        self.limits = limits
        self.baseline = baseline
        self.start = self.last = start
        self.samples: deque[Sample] = deque([start])

    def look(self, sample: Sample) -> str:
        """Take in a sample. Why the experiment has to stop, "" if it need not."""
        self.last = sample
        self.samples.append(sample)
        since = sample.at - self.limits.within
        while len(self.samples) > 1 and self.samples[1].at <= since:
            self.samples.popleft()
        if self.samples[0].at > since:
            return ""  # it has not gone on for as long yet
        state = between(self.samples[0], sample)
        limits = self.limits
        if state.error_rate > limits.error_rate:
            return f"{state.error_rate:.2%} errors within {limits.within:g} s, more than {limits.error_rate:.2%}"
        most = self.baseline.p99 * limits.latency
        if most and state.p99 > most:
            return f"p99 {state.p99 * 1e3:.1f} ms within {limits.within:g} s, more than {most * 1e3:.1f} ms"
        return ""

    def result(self) -> State:
        """What happened since the start."""
        return between(self.start, self.last)
