"""The circuit breaker of an upstream: closed, open, half-open.

Law of this file: what one worker opens is open in all of them (the time until which it is lies on the scoreboard), and
each of them tries for itself whether the upstream is well again. Nothing here calls anybody.

Closed, failures are counted over a window that slides in STEPS. If their share reaches `failures`, and there were
enough requests, it opens: everything is refused for a while, so that the upstream can recover and clients need not
wait for what fails anyway. Then it is half-open: a few requests are let through. If all of them are answered well it
closes, if one is not it opens again, for twice as long.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Any, NamedTuple

from ..metrics import U_BREAKER_OPENED, U_BREAKER_REFUSED, U_OPEN_UNTIL
from ..scoreboard import UPSTREAM_ROW, Scoreboard

STEPS = 10


class BreakerSpec(NamedTuple):
    """When a breaker opens, and for how long. Times in seconds."""

    failures: float = 0.5
    """The share of requests that failed."""
    slow: float = 0.0
    """A response that takes longer counts as a failure; 0 for none."""
    requests: int = 20
    """Requests in the window that are enough to judge."""
    window: float = 10.0
    open: float = 5.0
    open_max: float = 60.0
    trials: int = 3
    """Requests that each worker lets through when it is half-open."""


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
        """Whether it is anything but closed."""
        self.until = 0.0
        """Until when it is open; half-open from then on (seconds, monotonic)."""
        self.overcome = 0
        """The end (ns) of the last time that it was open, once trials have shown that all is well."""
        self.times = 0
        """How often it has opened again without a window of calm between."""
        self.calm_since = 0.0
        self.left = 0
        """Trials that may still be let through."""
        self.good = 0
        self.trials_since = 0.0
        self._clear()

    def _clear(self) -> None:
        self.requests = self.failures = 0
        """What has ended within the window, and how much of it badly."""
        self.past = [(0, 0)] * STEPS
        """What was counted in each step before this one: these leave the window one after another."""
        self.step_ends = 0.0

    def wait(self, now: float) -> float:
        """Seconds until a request may come again; 0.0 lets this one through."""
        spec = self.spec
        if now < self.until:
            self.rows[self.own + U_BREAKER_REFUSED] += 1
            return self.until - now
        if now - self.trials_since > spec.open:  # those let through before have come to nothing
            self.trials_since = now
            self.left, self.good = spec.trials, 0
        if self.left > 0:
            self.left -= 1
            return 0.0
        self.rows[self.own + U_BREAKER_REFUSED] += 1
        return spec.open

    def record(self, started: float, now: float, failed: bool) -> None:
        """A request that began at `started` has ended."""
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
        """The end (ns) of the time for which any worker has opened it."""
        return max(int(until) for until in self.rows[U_OPEN_UNTIL::UPSTREAM_ROW])

    def refresh(self, now: float) -> None:
        """See whether another worker has opened it."""
        until = self._agreed()
        if until > self.overcome:
            again = now + (until - monotonic_ns()) / 1e9
            if not self.opened or again > self.until + 0.001:
                self.until = self.trials_since = again
                self.left, self.good = self.spec.trials, 0
            self.opened = True

    def tick(self, now: float) -> None:
        """Let the window slide on."""
        if now < self.step_ends:
            return
        self.step_ends = now + self.spec.window / STEPS
        (oldest_requests, oldest_failures), *rest = self.past
        recent = self.requests - sum(step[0] for step in self.past), self.failures - sum(step[1] for step in self.past)
        self.past = [*rest, recent]
        self.requests -= oldest_requests
        self.failures -= oldest_failures
