"""The time guard of a user's algorithm: one whose calls are too often slow is replaced, as one that raises is.

A call runs in the event loop and holds up every request of the worker. With `MOST` slow calls, fewer than `APART` quick
ones between one and the next, PolicyTooSlow is raised after the last of them, to where exceptions of algorithms are
caught (upstream/picker.py), and the spare picks from then on. A single slow call may be a garbage collection or a stall
of the machine. Calls on the path of requests, ticks and calls of `members` are counted apart, since the many quick
calls of the one kind must not cover the other kinds; the latter two have `OFF_PATH` times the limit.

It is directly around the algorithm of the configuration, inside of priorities, zones, subset, keys and stickiness: so
only the user's code is timed, the fallback for requests without a key is not, and built-in algorithms have no guard.
All parts of an upstream share one CallTimes: they run the same code, and hold up the same requests.

Law of this file: it is no algorithm and decides nothing. The clock is given from outside and never reaches the
algorithm inside, whose only times are those of events. `explain` is called on demand, and not timed. A call that never
returns is outside of its reach: the supervisor ends a worker that hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import PolicyTooSlow
from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport
from ..base import Balancer, Done

MOST = 5
"""Slow calls after which an algorithm is replaced."""
APART = 100
"""Quick calls after which earlier slow ones do not count."""
OFF_PATH = 20
"""The limit of `tick` and `members`, as a multiple of that of calls on the path."""


class CallSeries:
    """Calls of one kind, and those of them above `limit` seconds."""

    def __init__(self, kind: str, limit: float) -> None:
        self.kind = kind
        """For messages."""
        self.limit = limit
        self.slow = 0
        """Slow calls that count."""
        self.quick = 0
        """Quick calls since the last slow one."""
        self.calls = 0
        """All calls from the first of those slow ones to the last."""


class CallTimes:
    """The durations of an upstream's calls of its algorithm. `limit`: seconds of a call on the path of requests."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.path = CallSeries("calls", limit)
        self.ticks = CallSeries("ticks", limit * OFF_PATH)
        self.updates = CallSeries("updates", limit * OFF_PATH)
        self.verdict = ""
        """The reason of the replacement, empty before: from then on the algorithm is not called."""

    def over(self, series: CallSeries, call: str, begun: float) -> None:
        """Count a call that is over. Raises PolicyTooSlow with the last slow one allowed."""
        seconds = self.clock() - begun
        if seconds <= series.limit:
            series.quick += 1
        else:
            self.slow_call(series, call, seconds)

    def slow_call(self, series: CallSeries, call: str, seconds: float) -> None:
        """Count a slow call. Raises PolicyTooSlow with the last one allowed."""
        if series.slow == 0 or series.quick >= APART:
            series.slow = series.calls = 1
        else:
            series.slow += 1
            series.calls += series.quick + 1
        series.quick = 0
        if series.slow >= MOST:
            took, limit = seconds * 1e3, series.limit * 1e3
            self.verdict = (
                f"{call} took {took:.1f} ms; {series.slow} of the last {series.calls} {series.kind} took longer "
                f"than {limit:g} ms"
            )
            raise PolicyTooSlow(self.verdict)


class TimeGuard(Balancer):
    """`inner`, timed. After its replacement it gets no more events, those of requests in flight included."""

    def __init__(self, inner: Balancer, times: CallTimes) -> None:
        self.inner = inner
        # Bound once: to look a method of a Python class up costs a compiled one more than to call it
        self.inner_pick, self.inner_assigned, self.inner_released = inner.pick, inner.assigned, inner.released
        self.times = times

    @property
    def needs_key(self) -> bool:  # type: ignore[override]
        return self.inner.needs_key

    @property
    def needs_location(self) -> bool:  # type: ignore[override]
        return self.inner.needs_location

    @property
    def wants_reports(self) -> bool:  # type: ignore[override]
        return self.inner.wants_reports

    # --- on the path of requests ---

    def pick(self, key: bytes | None) -> Backend | None:
        times = self.times
        if times.verdict:
            raise PolicyTooSlow(times.verdict)
        begun = times.clock()
        backend = self.inner_pick(key)
        times.over(times.path, "pick", begun)
        return backend

    def assigned(self, backend: Backend) -> None:
        times = self.times
        if not times.verdict:
            begun = times.clock()
            self.inner_assigned(backend)
            times.over(times.path, "assigned", begun)

    def released(self, backend: Backend, done: Done) -> None:
        times = self.times
        if not times.verdict:
            begun = times.clock()
            self.inner_released(backend, done)
            times.over(times.path, "released", begun)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        times = self.times
        if not times.verdict:
            begun = times.clock()
            self.inner.reported(backend, report, now)
            times.over(times.path, "reported", begun)

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        times = self.times
        if times.verdict:
            return None
        begun = times.clock()
        candidates = self.inner.candidates(key)
        times.over(times.path, "candidates", begun)
        return candidates

    # --- off it ---

    def tick(self, now: float) -> None:
        times = self.times
        if not times.verdict:
            begun = times.clock()
            self.inner.tick(now)
            times.over(times.ticks, "tick", begun)

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.inner.prober, self.inner.scope = self.prober, self.scope
        times = self.times
        if not times.verdict:
            begun = times.clock()
            type(self.inner).members(self.inner, listed, in_rotation, usable)
            times.over(times.updates, "members", begun)

    def explain(self) -> dict[str, Any]:
        return self.inner.explain()


def guarded(make: Callable[[], Balancer], times: CallTimes) -> Balancer:
    """The algorithm of `make`, timed."""
    return TimeGuard(make(), times)
