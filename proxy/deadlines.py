"""Deadlines without timers.

Law of this file: a connection carries one deadline as a number and moves it with an assignment; one coarse tick per
worker looks at every connection. Nothing is queued per request, so there is nothing to cancel and nothing to sweep
up after a burst. Times are seconds of `time.monotonic`.
"""

from __future__ import annotations

import logging
from time import monotonic

NEVER = float("inf")
TICK = 0.1
"""Seconds between two sweeps: how late a deadline may be noticed."""

log = logging.getLogger("qantara")


class Timed:
    """Something with a deadline: `deadline` is when `expire` is to be called, NEVER for not at all."""

    def __init__(self) -> None:
        self.deadline = NEVER

    def expire(self, now: float) -> None:
        """The deadline has passed. Called at most once per deadline that is set."""


class Sweep:
    """All that carry deadlines in one worker."""

    def __init__(self) -> None:
        self.watched: set[Timed] = set()
        self.now = monotonic()
        """The time of the last tick, for what need not be more exact than that."""

    def run(self, now: float) -> None:
        """Expire what is late. Called once per tick."""
        self.now = now
        late: list[Timed] = []
        for timed in self.watched:
            if timed.deadline <= now:
                late.append(timed)  # noqa: PERF401  # compiled, a loop's variable is typed, a comprehension's is not
        for timed in late:
            timed.deadline = NEVER
            try:
                timed.expire(now)
            except Exception:  # one broken connection must not keep the others from their deadlines
                log.exception("a deadline could not be handled")
