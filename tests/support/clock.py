"""A clock that tests wind, for what goes by the clock of `proxy.control.discovery`.

Invariant: time passes in `wind` alone, and whoever slept until then is awake before `wind` returns.
"""

from __future__ import annotations

import asyncio

from proxy.control.discovery.base import Clock

from .path import until_true

EPOCH = 1_700_000_000.0


class WoundClock(Clock):
    def __init__(self) -> None:
        self.time = 0.0
        self.chance = 0.0
        """What `jitter` gives."""
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def wall(self) -> float:
        return EPOCH + self.time

    def jitter(self) -> float:
        return self.chance

    async def sleep(self, seconds: float) -> None:
        waiting = asyncio.get_running_loop().create_future()
        entry = (self.time + seconds, waiting)
        self.sleepers.append(entry)
        try:
            await waiting
        finally:
            self.sleepers.remove(entry)

    @property
    def naps(self) -> list[float]:
        """For how much longer each sleeper sleeps."""
        return sorted(round(due - self.time, 6) for due, _ in self.sleepers)

    async def asleep(self, count: int = 1) -> None:
        """Until so many sleep."""
        await until_true(lambda: len(self.sleepers) >= count)

    async def wind(self, seconds: float) -> None:
        """Let so much time pass."""
        self.time += seconds
        for due, waiting in list(self.sleepers):
            if due <= self.time + 1e-9 and not waiting.done():
                waiting.set_result(None)
        await until_true(lambda: not any(waiting.done() for _, waiting in self.sleepers))
