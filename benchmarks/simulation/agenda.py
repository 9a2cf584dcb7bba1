"""What happens when: the events of a simulation in the order of their times.

Law of this file: nothing in a simulation waits, and nothing but the event at hand decides what time it is.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

Action = Callable[[float, Any], None]


class Agenda:
    """Events still to come. An action is called with the time (seconds) and the argument that it was put down with."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events: list[tuple[float, int, Action, Any]] = []
        self.numbers = count()
        """Events of the same time happen in the order in which they were put down."""

    def at(self, time: float, action: Action, argument: Any = None) -> None:
        heappush(self.events, (time, next(self.numbers), action, argument))

    def every(self, period: float, action: Callable[[float], None]) -> None:
        """Again and again, the first time after one period."""

        def again(now: float, _: Any) -> None:
            action(now)
            self.at(now + period, again)

        self.at(period, again)

    def run(self, until: float) -> None:
        events = self.events
        while events and events[0][0] < until:
            now, _, action, argument = heappop(events)
            self.now = now
            action(now, argument)
