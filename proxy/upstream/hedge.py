"""When a request is sent a second time because the first answer is late: the delay, and who is due.

Law of this file: a request that is answered in time costs an entry in a line and nothing else; one timer serves the
whole upstream. What happens to a request that is due is in stages/hedge.py.

Hedging after Dean and Barroso, "The Tail at Scale" (Communications of the ACM 56(2), 2013): wait until the response is
later than the 95th percentile of all, then ask another backend too, and take whichever answers first. That is 5 % more
requests at most; the budget of retries bounds it when everything is late.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, NamedTuple

from .concurrency import quantile

SAMPLES = 50
"""Responses that are enough to know a percentile of."""
LEARN = 5.0
"""Seconds between two looks at the response times."""
LEAST, MOST = 0.001, 10.0
"""Seconds: a learned delay is neither shorter nor longer."""


class HedgeSpec(NamedTuple):
    """After how long a second try is made."""

    delay: float = 0.0
    """Seconds; 0.0 for the percentile below, as it is learned."""
    quantile: float = 0.95


class Hedger:
    """Which requests of one upstream wait for an answer for longer than the delay."""

    def __init__(self, spec: HedgeSpec, cells: Sequence[int]) -> None:
        self.spec = spec
        self.cells = cells
        """The histogram of the upstream's response times."""
        self.before = list(cells)
        self.learned_at = 0.0
        self.won = 0
        """Second tries since the last look that were answered first: their first ones would have taken longer."""
        self.delay = spec.delay
        """Seconds; 0.0 while it is not known."""
        self.line: deque[tuple[float, Any, int, Any]] = deque()
        self.timer: asyncio.TimerHandle | None = None

    def watch(self, x: Any, now: float, stage: Any) -> None:
        """A request was sent at time `now`: `stage.hedge(x)` is called if it is still waiting after the delay."""
        if self.delay > 0.0:
            self.line.append((now + self.delay, x, x.serial, stage))
            if self.timer is None:
                self.timer = asyncio.get_running_loop().call_later(self.delay, self.due)

    def due(self) -> None:
        """The first in the line is due, if it still waits."""
        self.timer = None
        now = monotonic()
        line = self.line
        while line and (line[0][0] <= now or line[0][1].serial != line[0][2]):
            _, x, serial, stage = line.popleft()
            if x.serial == serial:
                stage.hedge(x)
        if line and self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(line[0][0] - now, self.due)

    def tick(self, now: float) -> None:
        """Learn the delay anew, now and then."""
        if self.spec.delay or now - self.learned_at < LEARN:
            return
        counts = [after - before for after, before in zip(self.cells, self.before, strict=True)]
        total = sum(counts)
        if total >= SAMPLES:
            part = min(0.999, self.spec.quantile + self.won / total)
            self.delay = min(MOST, max(LEAST, quantile(counts, part)))
            self.before = list(self.cells)
            self.learned_at = now
            self.won = 0
