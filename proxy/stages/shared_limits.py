"""Rate limits shared by several machines: the buckets are in Redis, or in a compatible store.

Law of this file: a request waits for the store at most `timeout` seconds, and is admitted without an answer: the limit
of its own machine has admitted it already. All waiting requests go in one pipeline, so a thousand cost one round trip.

The script is the same GCRA as in limits/buckets.py, by the clock of the store, in µs: a number in Lua is exact up to
2^53. A key is gone as soon as its bucket is full.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..limits.rate import RateSpec, StoreSpec
from .admit import Asking

if TYPE_CHECKING:
    from redis.asyncio import Redis

log = logging.getLogger("qantara")

MOST_AT_ONCE = 512
REST = 1.0
"""Seconds for which a store is not queried after a failure."""
SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full = tonumber(redis.call('GET', KEYS[1]) or 0)
if full < now then full = now end
full = full + tonumber(ARGV[1])
local early = full - now - tonumber(ARGV[2])
if early > 0 then return early end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
"""


class SharedBuckets:
    """The client of the buckets in one store, of one worker."""

    def __init__(self, store: StoreSpec) -> None:
        """Raises ValueError if the package that speaks to it is not installed."""
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise ValueError("`shared` needs the package redis: pip install qantara[redis]") from None
        self.store = store
        self.client: Redis = Redis.from_url(
            store.url, socket_timeout=store.timeout, socket_connect_timeout=store.timeout, retry_on_timeout=False
        )
        self.script = self.client.register_script(SCRIPT)
        self.waiting: list[tuple[RateSpec, int, Asking]] = []
        self.rests_until = 0.0
        self.task: asyncio.Task[None] | None = None

    def take(self, spec: RateSpec, key: int, asking: Asking) -> None:
        """Take a token from the bucket of `key`; `asking.decided` is called later, in any case."""
        self.waiting.append((spec, key, asking))
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._ask_while_any())

    async def _ask_while_any(self) -> None:
        try:
            while self.waiting:
                batch, self.waiting = self.waiting[:MOST_AT_ONCE], self.waiting[MOST_AT_ONCE:]
                waits = await self._ask(batch)
                for (_, _, asking), wait in zip(batch, waits, strict=True):
                    asking.decided(wait or 0, failed=wait is None)
        finally:
            self.task = None

    async def _ask(self, batch: list[tuple[RateSpec, int, Asking]]) -> list[int | None]:
        """The wait of each in ns, None if unknown."""
        nothing: list[int | None] = [None] * len(batch)
        if monotonic() < self.rests_until:
            await asyncio.sleep(0)  # not within the call of the requester
            return nothing
        try:
            async with asyncio.timeout(self.store.timeout):
                return [int(micros) * 1000 for micros in await self._pipelined(batch)]
        except Exception as error:  # any error of the client library: a failed store must not fail requests
            self.rests_until = monotonic() + REST
            log.warning("rate limits: %s does not answer (%s); this machine counts alone", self._place(), error)
            return nothing

    async def _pipelined(self, batch: list[tuple[RateSpec, int, Asking]]) -> list[Any]:
        async with self.client.pipeline(transaction=False) as pipe:
            for spec, key, _ in batch:
                name = f"{self.store.prefix}{spec.name}:{key & 0xFFFFFFFFFFFFFFFF:016x}"
                await self.script([name], [spec.interval / 1000, spec.depth / 1000], client=pipe)
            return list(await pipe.execute())

    def _place(self) -> str:
        """The store without its password."""
        return self.store.url.rpartition("@")[2]

    async def close(self) -> None:
        """Admit the waiting requests, and close the connections."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        for _, _, asking in self.waiting:
            asking.decided(0, failed=True)
        await self.client.aclose()
