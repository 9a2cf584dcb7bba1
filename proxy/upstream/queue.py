"""A queue of requests that wait for a limit of an upstream: bounded, by priority, with a deadline for each request.

Law of this file: a higher priority before a lower one; a request may leave at any time; no callbacks.

Within a priority the order is FIFO while the queue is a buffer for bursts. If it has not been empty for `patience` it
is a standing queue: load exceeds capacity, and in FIFO order each request would be served close to its deadline. Then
the order is LIFO and no request waits longer than `target` (controlled delay with adaptive LIFO, after Maurer, "Fail at
Scale", ACM Queue 13(8), 2015): some requests are refused soon, the others hardly wait.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..limits.shedding import PRIORITIES as NAMES
from ..metrics import Histogram

PRIORITIES = len(NAMES)
INFINITE = float("inf")


Entry = tuple[Any, float, float]
"""A request, the begin of its wait and its deadline (seconds, monotonic)."""


class Queue:
    """At most `max_length` requests; priority 0 is served first."""

    def __init__(self, max_length: int) -> None:
        self.max_length = max_length
        self.length = 0
        self.patience = self.target = INFINITE
        """Seconds, see above."""
        self.standing = False
        self.empty_at = 0.0
        """The last time that it was empty (seconds, monotonic)."""
        self.lines: list[deque[Entry]] = [deque() for _ in range(PRIORITIES)]

    def push(self, requester: Any, priority: int, now: float, deadline: float) -> bool:
        """Append a request; False if the queue is full."""
        if self.length >= self.max_length:
            return False
        if not self.length:
            self.empty_at = now
            self.standing = False
        self.lines[priority].append((requester, now, deadline))
        self.length += 1
        return True

    def peek(self, at: int = 0) -> Any:
        """The request at a position, 0 for the next one; None past the end."""
        for line in self.lines:
            if at < len(line):
                return line[-1 - at if self.standing else at][0]
            at -= len(line)
        return None

    def pop(self, at: int = 0) -> Any:
        """Remove and return the request at a position, 0 for the next one; None past the end."""
        for line in self.lines:
            if at < len(line):
                index = -1 - at if self.standing else at
                requester = line[index][0]
                del line[index]
                self.length -= 1
                return requester
            at -= len(line)
        return None

    def leave(self, requester: Any) -> None:
        """Remove a request, if it is there."""
        for index, line in enumerate(self.lines):
            staying = deque(entry for entry in line if entry[0] is not requester)
            self.length -= len(line) - len(staying)
            self.lines[index] = staying

    def late(self, now: float) -> list[Any]:
        """Remove and return the requests whose wait is over at time `now`."""
        self.standing = self.length > 0 and now - self.empty_at >= self.patience
        longest = self.target if self.standing else INFINITE
        found = []
        for index, line in enumerate(self.lines):
            late = [requester for requester, since, deadline in line if deadline <= now or now - since >= longest]
            if late:
                found += late
                self.lines[index] = deque(entry for entry in line if entry[2] > now and now - entry[1] < longest)
        self.length -= len(found)
        return found


def note_wait(requester: Any, now: float, seconds: Histogram) -> None:
    """Record the wait of a Requester that ends at time `now`."""
    waited = now - requester.queued_at
    requester.queued_for += waited
    seconds.observe(waited)
