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
    """An object with a deadline: `deadline` is the time at which `expire` is called, NEVER for none."""

    def __init__(self) -> None:
        self.deadline = NEVER

    def expire(self, now: float) -> None:
        """The deadline has passed. Called at most once per deadline that is set."""


class Sweep:
    """All objects with deadlines in one worker."""

    def __init__(self) -> None:
        self.watched: set[Timed] = set()
        self.now = monotonic()
        """The time of the last tick, for uses without need of more precision."""

    def run(self, now: float) -> None:
        """Expire the objects with a passed deadline. Called once per tick."""
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
