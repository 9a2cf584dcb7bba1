"""Requests that wait until an upstream has room: bounded, by priority, each with a deadline.

Law of this file: a higher priority before a lower one. Who waits can leave at any time. Nothing here calls anybody.

Within a priority it is first come first served, as long as the queue is what it should be, a buffer for bursts. If it
has not been empty for `patience` it is a standing queue: the load is more than can be served, and everybody would be
served only when they are about to give up. Then nobody waits longer than `target`, and the last come is served first
(controlled delay with adaptive LIFO, after Maurer, "Fail at Scale", ACM Queue 13(8), 2015): some are refused soon, the
others hardly wait.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..limits.shedding import PRIORITIES as NAMES
from ..metrics import Histogram

PRIORITIES = len(NAMES)
INFINITE = float("inf")


Waiting = tuple[Any, float, float]
"""Who waits, since when, and until when at most (seconds, monotonic)."""


class Queue:
    """At most `most` who wait; priority 0 is served first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.length = 0
        self.patience = self.target = INFINITE
        """Seconds, see above; the group sets them."""
        self.standing = False
        self.empty_at = 0.0
        """When it was last seen empty."""
        self.lines: list[deque[Waiting]] = [deque() for _ in range(PRIORITIES)]

    def push(self, who: Any, priority: int, now: float, deadline: float) -> bool:
        """Let somebody wait from `now` on; False if too many do."""
        if self.length >= self.most:
            return False
        if not self.length:
            self.empty_at = now
            self.standing = False
        self.lines[priority].append((who, now, deadline))
        self.length += 1
        return True

    def peek(self, at: int = 0) -> Any:
        """Who is next, or comes so many later; None if fewer wait."""
        for line in self.lines:
            if at < len(line):
                return line[-1 - at if self.standing else at][0]
            at -= len(line)
        return None

    def pop(self, at: int = 0) -> Any:
        """Take out who is next, or comes so many later; None if fewer wait."""
        for line in self.lines:
            if at < len(line):
                place = -1 - at if self.standing else at
                who = line[place][0]
                del line[place]
                self.length -= 1
                return who
            at -= len(line)
        return None

    def leave(self, who: Any) -> None:
        """Somebody waits no longer."""
        for index, line in enumerate(self.lines):
            staying = deque(entry for entry in line if entry[0] is not who)
            self.length -= len(line) - len(staying)
            self.lines[index] = staying

    def late(self, now: float) -> list[Any]:
        """Take out and return those who have waited too long at time `now`."""
        self.standing = self.length > 0 and now - self.empty_at >= self.patience
        longest = self.target if self.standing else INFINITE
        found = []
        for index, line in enumerate(self.lines):
            late = [who for who, came, deadline in line if deadline <= now or now - came >= longest]
            if late:
                found += late
                self.lines[index] = deque(entry for entry in line if entry[2] > now and now - entry[1] < longest)
        self.length -= len(found)
        return found


def note_wait(who: Any, now: float, seconds: Histogram) -> None:
    """Somebody (a Requester) has waited until `now`."""
    waited = now - who.queued_at
    who.queued_for += waited
    seconds.observe(waited)
