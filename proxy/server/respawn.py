"""Replacement of workers that have died.

Law of this file: an index without a worker is filled, with a growing pause between attempts if its workers keep dying,
until it has one or is not wanted any more. The process for it starts at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from ..errors import BindError
from .workers import WorkerHandle, Workers

log = logging.getLogger("qantara")

YOUNG = 2.0
"""Seconds: a worker that dies sooner has probably died of its start."""
MOST_PAUSE = 5.0
"""Seconds between two starts of a worker that keeps dying."""


class Respawn:
    """`wanted` is the number of workers (0 while stopping); `fill` starts one for an index."""

    def __init__(self, workers: Workers, wanted: Callable[[], int], fill: Callable[[int], Awaitable[object]]) -> None:
        self.workers = workers
        self.wanted = wanted
        self.fill = fill
        self.under_way: dict[int, asyncio.Task[None]] = {}

    def on_death(self, worker: WorkerHandle) -> None:
        """A worker has ended unexpectedly."""
        if worker.index < self.wanted():
            self.workers.add_spare()
            self._begin(worker.index, monotonic() - worker.since)

    def look(self) -> None:
        """Begin to fill each index that has no worker."""
        for index in range(self.wanted()):
            if self._empty(index):
                self._begin(index, YOUNG)

    def _empty(self, index: int) -> bool:
        return index < self.wanted() and index not in self.workers.serving()

    def _begin(self, index: int, lived: float) -> None:
        if index not in self.under_way:
            task = asyncio.get_running_loop().create_task(self._fill(index, lived))
            self.under_way[index] = task
            task.add_done_callback(lambda _: self.under_way.pop(index))

    async def _fill(self, index: int, lived: float) -> None:
        pause = 0.0
        while self._empty(index):
            if lived < YOUNG:
                pause = min(MOST_PAUSE, 2 * pause or 0.1)
                await asyncio.sleep(pause)
            try:
                await self.fill(index)
            except BindError as error:
                log.error("the worker of place %d cannot be replaced: %s", index, error)
                lived = 0.0

    async def close(self) -> None:
        """Fill none any more."""
        tasks = list(self.under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
