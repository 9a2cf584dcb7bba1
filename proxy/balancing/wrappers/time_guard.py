"""An algorithm of a user's own whose calls are timed: one that is slow too often is replaced as one that raises.

While a call lasts, every request of the worker waits: the calls run in the event loop. So one that has been slow `MOST`
times, with fewer than `APART` quick calls between one time and the next, raises PolicyTooSlow after the last of them,
to where exceptions of algorithms are caught (upstream/picker.py), and its spare picks from then on. Once alone it says
nothing: a garbage collection or a machine that stood still may have fallen into it. Calls on the path of requests,
ticks and rebuilds are counted apart, since the many quick calls of the one excuse nothing of the other; the latter two
have `OFF_PATH` times as long.

It stands directly around what was made from the configuration, inside of priorities, zones, subset, keys and
stickiness: so a user's code is timed and nothing else, what picks for requests without a key is not taken for it, and
built-in algorithms have nothing in their way. All parts of an upstream share one Watch: theirs is the same code, and it
holds up the same requests.

Law of this file: it is no algorithm and decides nothing. The clock is given from outside, and what it shows never gets
to the algorithm inside, which knows only the times of the events. What it tells of itself (`explain`) is asked for by
people, and not timed. A call that never returns is not seen here: the supervisor ends a worker that hangs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import PolicyTooSlow
from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport
from ..base import Balancer, Done

MOST = 5
"""Slow calls, after which an algorithm is given up."""
APART = 100
"""Quick calls, after which the slow ones before are forgotten."""
OFF_PATH = 20
"""How many times as long a tick or a rebuild may take."""


class Series:
    """Calls of one kind, and those of them that took longer than `limit` seconds."""

    def __init__(self, kind: str, limit: float) -> None:
        self.kind = kind
        """For people."""
        self.limit = limit
        self.slow = 0
        """Slow calls that are not forgotten."""
        self.quick = 0
        """Quick calls since the last slow one."""
        self.calls = 0
        """All calls from the first of the slow ones to the last."""


class Watch:
    """How long the calls of an algorithm of an upstream took. `limit` is that of a call on the path of requests."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.path = Series("calls", limit)
        self.ticks = Series("ticks", limit * OFF_PATH)
        self.rebuilds = Series("rebuilds", limit * OFF_PATH)
        self.verdict = ""
        """Why the algorithm was given up, if it was: it is not called any more."""

    def over(self, series: Series, call: str, begun: float) -> None:
        """A call is over. Raises PolicyTooSlow if that was one too many."""
        seconds = self.clock() - begun
        if seconds <= series.limit:
            series.quick += 1
        else:
            self.slow_call(series, call, seconds)

    def slow_call(self, series: Series, call: str, seconds: float) -> None:
        """A call was slow. Raises PolicyTooSlow if that was one too many."""
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


class Watched(Balancer):
    """`inner`, timed. Once it was given up, it is left alone: who still has requests with it calls in vain."""

    def __init__(self, inner: Balancer, watch: Watch) -> None:
        self.inner = inner
        # Bound once: to look a method of a Python class up costs a compiled one more than to call it
        self.inner_pick, self.inner_took, self.inner_dropped = inner.pick, inner.took, inner.dropped
        self.watch = watch

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
        watch = self.watch
        if watch.verdict:
            raise PolicyTooSlow(watch.verdict)
        begun = watch.clock()
        backend = self.inner_pick(key)
        watch.over(watch.path, "pick", begun)
        return backend

    def took(self, backend: Backend) -> None:
        watch = self.watch
        if not watch.verdict:
            begun = watch.clock()
            self.inner_took(backend)
            watch.over(watch.path, "took", begun)

    def dropped(self, backend: Backend, done: Done) -> None:
        watch = self.watch
        if not watch.verdict:
            begun = watch.clock()
            self.inner_dropped(backend, done)
            watch.over(watch.path, "dropped", begun)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        watch = self.watch
        if not watch.verdict:
            begun = watch.clock()
            self.inner.reported(backend, report, now)
            watch.over(watch.path, "reported", begun)

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        watch = self.watch
        if watch.verdict:
            return None
        begun = watch.clock()
        reach = self.inner.reach(key)
        watch.over(watch.path, "reach", begun)
        return reach

    # --- off it ---

    def tick(self, now: float) -> None:
        self._timed(self.watch.ticks, "tick", now)

    def roster(self, members: Sequence[Backend]) -> None:
        self._timed(self.watch.rebuilds, "roster", members)

    def census(self, members: Sequence[Backend]) -> None:
        self._timed(self.watch.rebuilds, "census", members)

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.inner.prober, self.inner.scope = self.prober, self.scope
        self._timed(self.watch.rebuilds, "rebuild", members)

    def _timed(self, series: Series, call: str, argument: Any) -> None:
        watch = self.watch
        if not watch.verdict:
            begun = watch.clock()
            getattr(self.inner, call)(argument)
            watch.over(series, call, begun)

    def explain(self) -> dict[str, Any]:
        return self.inner.explain()


def watched(make: Callable[[], Balancer], watch: Watch) -> Balancer:
    """What `make` makes, timed."""
    return Watched(make(), watch)
