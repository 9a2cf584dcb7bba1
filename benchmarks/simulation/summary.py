"""What a run comes to, and what several runs with different seeds come to."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median
from typing import NamedTuple

from .world import DEADLINE, World


class Outcome(NamedTuple):
    """One run. Times in milliseconds; a request that missed its deadline counts as one that took so long."""

    seed: int
    requests: int
    p50: float
    p90: float
    p99: float
    p999: float
    errors: float
    """In percent of the requests."""
    queue_p50: float
    queue_p99: float
    cpu_spread: float
    """The 99th percentile of the backends' CPU use over its mean."""


class Spread(NamedTuple):
    """A figure over all seeds."""

    median: float
    low: float
    high: float


def percentile(ordered: Sequence[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def outcome(world: World) -> Outcome:
    latencies = sorted(world.latencies) + [DEADLINE] * world.deadlines
    requests = len(world.latencies) + world.errors
    queues, usages = sorted(world.queues), sorted(world.usages)
    p50, p90, p99, p999 = (1e3 * percentile(latencies, part) for part in (0.5, 0.9, 0.99, 0.999))
    return Outcome(
        seed=world.setting.seed,
        requests=requests,
        p50=p50,
        p90=p90,
        p99=p99,
        p999=p999,
        errors=100.0 * world.errors / max(1, requests),
        queue_p50=percentile(queues, 0.5),
        queue_p99=percentile(queues, 0.99),
        cpu_spread=percentile(usages, 0.99) / mean(usages) if usages and mean(usages) else 0.0,
    )


def spread(values: Sequence[float]) -> Spread:
    return Spread(median(values), min(values), max(values))
