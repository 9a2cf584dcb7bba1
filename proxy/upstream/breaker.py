"""The circuit breaker of an upstream: closed, open, half-open.

Law of this file: a breaker that one worker opens is open in all of them (the end of that time lies on the scoreboard);
each worker makes its own trials. No callbacks.

Closed, it counts failures over a window that slides in STEPS. If their share reaches `failures`, with at least
`requests` requests, it opens: all requests are refused for a while, so that the upstream can recover and clients do not
wait for failures. Then it is half-open and lets `trials` requests through. If all of them succeed it closes; if one
fails it opens again, for twice as long.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, NamedTuple

from ..metrics import U_BREAKER_OPENED, U_BREAKER_REFUSED, U_OPEN_UNTIL
from ..scoreboard import UPSTREAM_ROW, Scoreboard

STEPS = 10


class BreakerSpec(NamedTuple):
    """Thresholds and durations of a breaker. Times in seconds."""

    failures: float = 0.5
    """The share of failed requests at which it opens."""
    slow: float = 0.0
    """The response time above which a response counts as a failure; 0 is none."""
    requests: int = 20
    """The smallest number of requests in the window at which it opens."""
    window: float = 10.0
    open: float = 5.0
    open_max: float = 60.0
    trials: int = 3
    """Requests that each worker lets through while half-open."""


class Breaker:
    """The breaker of one upstream in one worker."""

    def __init__(self, spec: BreakerSpec, board: Scoreboard, rows: Any) -> None:
        self.spec = spec
        self.slow = spec.slow
        self.board = board
        self.rows = rows
        """The rows of all slots about the upstream; that of this worker begins at `own`."""
        self.own = board.slot * UPSTREAM_ROW
        self.opened = False
        """Whether it is open or half-open."""
        self.until = 0.0
        """The end of the open state; half-open from then on (seconds, monotonic)."""
        self.overcome = 0
        """The end (ns) of the last open state that successful trials have closed."""
        self.times = 0
        """Openings in a row, without a window of closed state between them."""
        self.calm_since = 0.0
        self.left = 0
        """Trials that are left."""
        self.good = 0
        self.trials_since = 0.0
        self._clear()

    def _clear(self) -> None:
        self.requests = self.failures = 0
        """Requests that have ended within the window, and failures among them."""
        self.past = [(0, 0)] * STEPS
        """The same for each complete step of the window, the oldest first."""
        self.step_ends = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next trial; 0.0 lets this request through."""
        spec = self.spec
        if now < self.until:
            self.rows[self.own + U_BREAKER_REFUSED] += 1
            return self.until - now
        if now - self.trials_since > spec.open:  # the earlier trials had no outcome
            self.trials_since = now
            self.left, self.good = spec.trials, 0
        if self.left > 0:
            self.left -= 1
            return 0.0
        self.rows[self.own + U_BREAKER_REFUSED] += 1
        return spec.open

    def record(self, started: float, now: float, failed: bool) -> None:
        """Count the end of a request that began at `started`."""
        if 0.0 < self.slow < now - started:
            failed = True
        if self.opened:
            if started >= self.until:
                self._tried(now, failed)
            return
        self.requests += 1
        if failed:
            self.failures += 1
            if self.requests >= self.spec.requests and self.failures >= self.spec.failures * self.requests:
                self._open(now)

    def _tried(self, now: float, failed: bool) -> None:
        if failed:
            self._open(now)
            return
        self.good += 1
        if self.good >= self.spec.trials:
            self.overcome = self._agreed()
            self.opened = False
            self.calm_since = now
            self._clear()

    def _open(self, now: float) -> None:
        spec = self.spec
        if now - self.calm_since > spec.window and not self.opened:
            self.times = 0
        seconds = min(spec.open * 2.0 ** min(self.times, 30), spec.open_max)
        self.times += 1
        self.rows[self.own + U_OPEN_UNTIL] = monotonic_ns() + int(seconds * 1e9)
        self.rows[self.own + U_BREAKER_OPENED] += 1
        self.board.changed(self.board.slot)
        self.refresh(now)

    def _agreed(self) -> int:
        """The latest end (ns) of the open state over all workers."""
        return max(int(until) for until in self.rows[U_OPEN_UNTIL::UPSTREAM_ROW])

    def refresh(self, now: float) -> None:
        """Take over the open state of another worker."""
        until = self._agreed()
        if until > self.overcome:
            again = now + (until - monotonic_ns()) / 1e9
            if not self.opened or again > self.until + 0.001:
                self.until = self.trials_since = again
                self.left, self.good = self.spec.trials, 0
            self.opened = True

    def tick(self, now: float) -> None:
        """Slide the window."""
        if now < self.step_ends:
            return
        self.step_ends = now + self.spec.window / STEPS
        (oldest_requests, oldest_failures), *rest = self.past
        recent = self.requests - sum(step[0] for step in self.past), self.failures - sum(step[1] for step in self.past)
        self.past = [*rest, recent]
        self.requests -= oldest_requests
        self.failures -= oldest_failures
