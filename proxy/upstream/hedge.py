"""Hedging: the delay after which a request is sent to a second backend, and the requests that wait for it.

Law of this file: a request with a response in time costs one entry in a deque and no timer; one timer serves the whole
upstream. The second attempt itself is in stages/hedge.py.

After Dean and Barroso, "The Tail at Scale" (Communications of the ACM 56(2), 2013): after the 95th percentile of the
response time a second request goes to another backend, and the first response counts. That is 5 % more requests at
most; the retry budget bounds it when all responses are late.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import Any, NamedTuple

from .concurrency import quantile

SAMPLES = 50
"""The smallest number of responses for a percentile."""
LEARN = 5.0
"""Seconds between two evaluations of the response times."""
MIN_DELAY, MAX_DELAY = 0.001, 10.0
"""Bounds of a learned delay, in seconds."""


class HedgeSpec(NamedTuple):
    """The delay before a second attempt."""

    delay: float = 0.0
    """Seconds; 0.0 for the quantile below, which is learned."""
    quantile: float = 0.95


class Hedger:
    """The requests of one upstream that have been sent and are not older than the delay."""

    def __init__(self, spec: HedgeSpec, cells: Sequence[int]) -> None:
        self.spec = spec
        self.cells = cells
        """The histogram of the upstream's response times."""
        self.before = list(cells)
        self.learned_at = 0.0
        self.won = 0
        """Second attempts since the last evaluation that had the first response: the first attempts would have taken
        longer than the histogram says."""
        self.delay = spec.delay
        """Seconds; 0.0 while unknown."""
        self.sent: deque[tuple[float, Any, int, Any]] = deque()
        """When the delay of each is over, the exchange, its serial number when it was sent, and the stage; in order of
        time."""
        self.timer: asyncio.TimerHandle | None = None

    def watch(self, x: Any, now: float, stage: Any) -> None:
        """Note that a request was sent at time `now`: `stage.hedge(x)` is called if it still waits after the delay."""
        if self.delay > 0.0:
            self.sent.append((now + self.delay, x, x.serial, stage))
            if self.timer is None:
                self.timer = asyncio.get_running_loop().call_later(self.delay, self.due)

    def due(self) -> None:
        """Hedge the requests whose delay is over, if they still wait."""
        self.timer = None
        now = monotonic()
        sent = self.sent
        while sent and (sent[0][0] <= now or sent[0][1].serial != sent[0][2]):
            _, x, serial, stage = sent.popleft()
            if x.serial == serial:
                stage.hedge(x)
        if sent and self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(sent[0][0] - now, self.due)

    def tick(self, now: float) -> None:
        """Learn the delay anew, every LEARN seconds."""
        if self.spec.delay or now - self.learned_at < LEARN:
            return
        counts = [after - before for after, before in zip(self.cells, self.before, strict=True)]
        total = sum(counts)
        if total >= SAMPLES:
            part = min(0.999, self.spec.quantile + self.won / total)
            self.delay = min(MAX_DELAY, max(MIN_DELAY, quantile(counts, part)))
            self.before = list(self.cells)
            self.learned_at = now
            self.won = 0
