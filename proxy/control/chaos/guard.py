"""The steady state: what the proxy does when nothing is wrong with it, and whether it still does.

Law of this file: it judges what clients see, of any cause: errors, no answer for as long as they wait, and slow
ones. Differences of samples only, no clock.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ...configuration.sections.chaos import ChaosLimits
from ...metrics import Histogram
from .contract import Sample

LEAST = 20
"""The least number of requests for a meaningful 99th percentile."""


class State(NamedTuple):
    """What happened between two samples."""

    seconds: float
    requests: int
    errors: int
    p99: float
    """Seconds; 0 if there were too few requests."""
    gone: int = 0
    """Requests whose clients left before they had their whole response."""
    calm: int = 0
    busy: int = 0
    """The fewest and the most requests in flight at a look, the first one left aside."""

    @property
    def error_rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def as_json(self) -> dict[str, float]:
        return {
            "seconds": round(self.seconds, 3),
            "requests": self.requests,
            "error_rate": round(self.error_rate, 5),
            "p99": round(self.p99, 6),
            "gone": self.gone,
            "in_flight": self.busy,
        }


def between(before: Sample, *looks: Sample) -> State:
    """What happened from one sample to the last of those that followed it."""
    after = looks[-1]
    requests = after.requests - before.requests
    in_flight = [look.in_flight for look in looks]
    p99 = 0.0
    if requests >= LEAST:
        histogram = Histogram()
        for cell, (then, now) in enumerate(zip(before.seconds, after.seconds, strict=True)):
            histogram.cells[cell] = now - then
        p99 = histogram.quantile(0.99)
    errors, gone = after.errors - before.errors, after.gone - before.gone
    return State(after.at - before.at, requests, errors, p99, gone, min(in_flight), max(in_flight))


class Guard:
    """Watches one experiment."""

    def __init__(self, limits: ChaosLimits, baseline: State, start: Sample) -> None:
        self.limits = limits
        self.baseline = baseline
        self.start = self.last = start
        self.samples: deque[Sample] = deque([start])
        self.usual = max(baseline.busy, start.in_flight)
        """Requests in flight that need no explanation."""
        self.busy = 0

    def look(self, sample: Sample, over: bool = False) -> str:
        """Take in a sample. Why the experiment has to stop, "" if it need not. If it is `over`, it is judged by what
        there is: one that is shorter than `within` has nothing else."""
        self.last = sample
        self.busy = max(self.busy, sample.in_flight)
        self.samples.append(sample)
        since = sample.at - self.limits.within
        while len(self.samples) > 1 and self.samples[1].at <= since:
            self.samples.popleft()
        if self.samples[0].at > since and not over:
            return ""  # it has not gone on for as long yet
        state = between(*self.samples)
        limits, within = self.limits, f"within {state.seconds:.3g} s"
        rate, told = self.failures(state)
        if rate > limits.error_rate:
            return f"{rate:.2%} errors {within} ({told}), more than {limits.error_rate:.2%}"
        most = self.baseline.p99 * limits.latency
        if most and state.p99 > most:
            return f"p99 {state.p99 * 1e3:.1f} ms {within}, more than {most * 1e3:.1f} ms"
        return ""

    def failures(self, state: State) -> tuple[float, str]:
        """The share of the requests that failed, and how. Clients leave at any time, and some requests take long: what
        of both is usual is no failure."""
        baseline = self.baseline
        expected = round(state.requests * baseline.gone / baseline.requests) if baseline.requests else 0
        gone, stalled = max(0, state.gone - expected), max(0, state.calm - self.usual)
        asked = state.requests + stalled
        rate = min(1.0, (state.errors + gone + stalled) / asked) if asked else 0.0
        return rate, f"{state.errors} responses, {gone} clients that left, {stalled} without an answer"

    def result(self) -> State:
        """What happened since the start."""
        return between(self.start, self.last)._replace(busy=self.busy)
