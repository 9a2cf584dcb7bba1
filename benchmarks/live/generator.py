"""Open-loop load: requests come by a Poisson process, whatever becomes of those before them.

Law of this file: a latency counts from the moment in which a request was due, so nothing that is slow hides itself
(coordinated omission). What was not answered within the deadline is an error, and counts as the deadline.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random
from typing import cast

DEADLINE = 5.0
"""Seconds."""
LEAST = 0.02
MEAN = 1.2951
"""Of a normal distribution with mean 1 and deviation 1, cut off below LEAST."""


@dataclass
class Outcome:
    """What one run saw. Times in seconds."""

    latencies: list[float] = field(default_factory=list)
    """Of all requests that were due after the warm-up; those that failed count as the deadline."""
    errors: int = 0
    lags: list[float] = field(default_factory=list)
    """How late requests were sent."""


def draw_work(dice: Random, mean: float) -> float:
    """Work of a request: a normal distribution whose deviation is its mean, cut off below, then scaled to the mean."""
    while (drawn := dice.gauss(1.0, 1.0)) < LEAST:
        pass
    return mean * drawn / MEAN


class Generator:
    """Sends `rate` requests per second of `mean` seconds of work to a port, for so many seconds."""

    def __init__(self, port: int, rate: float, mean: float, seed: int) -> None:
        self.port = port
        self.rate = rate
        self.mean = mean
        self.dice = Random(seed)
        self.idle: list[Caller] = []
        self.waiting: set[Caller] = set()
        self.outcome = Outcome()
        self.empty = asyncio.Event()
        """Nothing is waited for."""

    async def run(self, warm_up: float, seconds: float) -> Outcome:
        loop = asyncio.get_running_loop()
        due = begin = loop.time()
        while due < begin + warm_up + seconds:
            due += self.dice.expovariate(self.rate)
            work = draw_work(self.dice, self.mean)
            pause = due - loop.time()
            if pause > 0:
                await asyncio.sleep(pause)
            counted = due >= begin + warm_up
            if counted:
                self.outcome.lags.append(loop.time() - due)
            await self._send(due, work, counted)
        await self._settle(loop.time() + DEADLINE)
        for caller in self.idle:
            caller.transport.abort()
        return self.outcome

    async def _send(self, due: float, work: float, counted: bool) -> None:
        if not self.idle:
            loop = asyncio.get_running_loop()
            _, caller = await loop.create_connection(lambda: Caller(self), "127.0.0.1", self.port)
            self.idle.append(caller)
        caller = self.idle.pop()
        self.waiting.add(caller)
        self.empty.clear()
        caller.ask(due, work, counted)

    async def _settle(self, until: float) -> None:
        try:
            async with asyncio.timeout_at(until):
                await self.empty.wait()
        except TimeoutError:
            pass
        for caller in list(self.waiting):
            caller.over(DEADLINE, False)
            caller.transport.abort()

    def done(self, caller: Caller, seconds: float, good: bool) -> None:
        """A request is over."""
        self.waiting.discard(caller)
        if not self.waiting:
            self.empty.set()
        if caller.counted:
            late = not good or seconds > DEADLINE
            self.outcome.errors += late
            self.outcome.latencies.append(DEADLINE if late else seconds)


class Caller(asyncio.Protocol):
    """One connection of the generator."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.loop = asyncio.get_running_loop()
        self.busy = False
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, due: float, work: float, counted: bool) -> None:
        self.due, self.counted, self.busy, self.received = due, counted, True, b""
        self.transport.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-Work: %.6f\r\n\r\n" % work)

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            self.over(self.loop.time() - self.due, self.received.startswith(b"HTTP/1.1 200"))
            self.generator.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.busy:
            self.over(DEADLINE, False)
        elif self in self.generator.idle:
            self.generator.idle.remove(self)

    def over(self, seconds: float, good: bool) -> None:
        if self.busy:
            self.busy = False
            self.generator.done(self, seconds, good)
