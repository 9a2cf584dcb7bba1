"""A hundred backends, three of which fail at once: does an algorithm fall for them?"""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

from proxy.balancing.standalone import StandalonePicker, StandaloneRequest

REQUESTS, PER_SECOND = 24_000, 1200
FAST, SLOW = 0.001, 0.25
"""Seconds that a failure takes, and an answer on average."""


def sinkhole(algorithm: str, failure_penalty: float) -> float:
    """The share of requests that fail."""
    now, dice, failed = 0.0, Random(1), 0
    addresses = [f"b{n}:1" for n in range(100)]
    picker = StandalonePicker(algorithm, addresses, clock=lambda: now, failure_penalty=failure_penalty, seed=1)
    bad = set(addresses[:3])
    flying: list[tuple[float, int]] = []
    requests: dict[int, StandaloneRequest] = {}
    for number in range(REQUESTS):
        now = number / PER_SECOND
        while flying and flying[0][0] <= now:
            over = requests.pop(heappop(flying)[1])
            if over.backend.name in bad:
                over.failed(FAST)
                failed += 1
            else:
                over.answered()
        picked = picker.pick()
        assert picked is not None
        requests[number] = picked
        takes = FAST if picked.backend.name in bad else dice.expovariate(1 / SLOW)
        heappush(flying, (now + takes, number))
    return failed / REQUESTS
