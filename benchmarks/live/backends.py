"""Backends that burn no CPU: processor sharing in virtual time, with a capacity that changes by a schedule.

Law of this file: a request says how much work it is (X-Work, CPU seconds), and is answered when so much was done on it.
With k requests each gets min(1, capacity / k) of a CPU second per second; so twenty servers with several cores each
fit into one process. The schedule is drawn from a seed: every algorithm meets the same bursts at the same moments.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Iterator
from random import Random
from typing import cast

BASES = ((3.0, 0.7), (2.0, 0.2), (1.0, 0.1))
"""Cores that a backend has beside what its neighbours leave, and how likely that is."""
BASE_SECONDS, CALM_SECONDS, BURST_SECONDS = 60.0, 15.0, 1.0
"""Means: until the base is drawn anew, between bursts of the neighbours, and of a burst."""


def schedule(seed: int) -> Iterator[tuple[float, float]]:
    """For how many seconds a backend has which capacity (cores), without end."""
    dice = Random(seed)
    base, base_left = draw_base(dice), dice.expovariate(1 / BASE_SECONDS)
    burst, burst_left = False, dice.expovariate(1 / CALM_SECONDS)
    while True:
        seconds = min(base_left, burst_left)
        yield seconds, 0.6 * min(base, 1.0) if burst else base
        base_left -= seconds
        burst_left -= seconds
        if base_left <= 0:
            base, base_left = draw_base(dice), dice.expovariate(1 / BASE_SECONDS)
        if burst_left <= 0:
            burst = not burst
            burst_left = dice.expovariate(1 / (BURST_SECONDS if burst else CALM_SECONDS))


def draw_base(dice: Random) -> float:
    bases, shares = zip(*BASES, strict=True)
    return dice.choices(bases, shares)[0]


class Server:
    """One backend."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.loop = asyncio.get_running_loop()
        self.capacity = 1.0
        self.done = 0.0
        """Work (seconds) that was done on each request that is here since the beginning."""
        self.at = self.loop.time()
        self.jobs: list[tuple[float, int, Connection]] = []
        """Requests by the amount of work at which they are done."""
        self.numbers = itertools.count()
        self.timer: asyncio.TimerHandle | None = None
        self.served = 0
        self.failing = False
        """Whether everything is answered at once with 500."""

    def start(self) -> None:
        """Begin the schedule anew."""
        self.steps = schedule(self.seed)
        self._step()

    def _step(self) -> None:
        seconds, capacity = next(self.steps)
        self._advance()
        self.capacity = capacity
        self._rearm()
        self.stepper = self.loop.call_later(seconds, self._step)

    def stop(self) -> None:
        self.stepper.cancel()

    def take(self, work: float, connection: Connection) -> None:
        """A request with so much work."""
        self._advance()
        heapq.heappush(self.jobs, (self.done + work, next(self.numbers), connection))
        connection.cost = work
        self._rearm()

    def _rate(self) -> float:
        return min(1.0, self.capacity / len(self.jobs))

    def _advance(self) -> None:
        now = self.loop.time()
        if self.jobs:
            self.done += (now - self.at) * self._rate()
        self.at = now

    def _rearm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.jobs:
            seconds = (self.jobs[0][0] - self.done) / self._rate()
            self.timer = self.loop.call_later(max(0.0, seconds), self._finish)

    def _finish(self) -> None:
        self.timer = None
        self._advance()
        while self.jobs and self.jobs[0][0] <= self.done + 1e-6:
            _, _, connection = heapq.heappop(self.jobs)
            self.served += 1
            connection.answer()
        self._rearm()

    def report(self, cost: float | None) -> bytes:
        """The load report of this moment, as ORCA writes it."""
        used = len(self.jobs) / self.capacity
        fields = [f"cpu_utilization={min(1.0, used):.4f}", f"application_utilization={used:.4f}"]
        answered = cost is not None
        fields.append(f"named_metrics.rif={len(self.jobs) + answered}")  # the request that is answered counts, too
        if cost is not None:
            fields.append(f"request_cost.cpu={cost:.6f}")
        return ("TEXT " + ", ".join(fields)).encode()


class Connection(asyncio.Protocol):
    """A connection of the proxy to a backend; it sends one request at a time, in one piece."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cost = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if data.startswith((b"GET /probe", b"GET /load")):
            self._write(b"200 OK", None)
        elif self.server.failing:
            self._write(b"500 Internal Server Error", None)
        else:
            at = data.lower().index(b"x-work:") + 7
            self.server.take(float(data[at : data.index(b"\r\n", at)]), self)

    def answer(self) -> None:
        """The work is done."""
        self._write(b"200 OK", self.cost)

    def _write(self, status: bytes, cost: float | None) -> None:
        head = b"HTTP/1.1 %b\r\nContent-Length: 2\r\nendpoint-load-metrics: %b\r\n\r\n" % (
            status,
            self.server.report(cost),
        )
        self.transport.write(head + b"ok")
