"""Requests that wait until an upstream has room: bounded, by priority, each with a deadline.

Law of this file: first come first served within a priority, and a higher priority before a lower one. Who waits can
leave at any time. Nothing here calls anybody.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

PRIORITIES = 4


class Waiting(NamedTuple):
    """Somebody who waits, at most until `deadline` (seconds, monotonic)."""

    who: Any
    deadline: float


class Queue:
    """At most `most` who wait; priority 0 is served first."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.length = 0
        self.lines: list[deque[Waiting]] = [deque() for _ in range(PRIORITIES)]

    def push(self, who: Any, priority: int, deadline: float) -> bool:
        """Let somebody wait; False if too many do."""
        if self.length >= self.most:
            return False
        self.lines[priority].append(Waiting(who, deadline))
        self.length += 1
        return True

    def pop(self) -> Any:
        """Who is next, None if nobody waits."""
        for line in self.lines:
            if line:
                self.length -= 1
                return line.popleft().who
        return None

    def leave(self, who: Any) -> None:
        """Somebody waits no longer."""
        for index, line in enumerate(self.lines):
            staying = deque(entry for entry in line if entry.who is not who)
            self.length -= len(line) - len(staying)
            self.lines[index] = staying

    def late(self, now: float) -> list[Any]:
        """Take out and return those whose deadline has passed."""
        found = [entry.who for line in self.lines for entry in line if entry.deadline <= now]
        for who in found:
            self.leave(who)
        return found
