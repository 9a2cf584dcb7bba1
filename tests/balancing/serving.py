"""Requests that pass through a balancer: so many at a time; or in simulated time, in which a few backends each work on
so many requests at a time, and the rest shares it."""

from __future__ import annotations

import heapq
from collections import Counter
from random import Random

from proxy.balancing import Balancer, Done
from proxy.balancing.base import ANSWERED, FAILED
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport


def passed_through(balancer: Balancer, *, most: int, requests: int = 10_000) -> Counter[str]:
    """Who got how many requests, of which each has a key of its own, and `most` are in flight at a time."""
    counts: Counter[str] = Counter()
    flying: list[Backend] = []
    for number in range(requests):
        backend = balancer.pick(b"key-%d" % number)
        assert backend is not None
        backend.in_flight += 1
        balancer.assigned(backend)
        counts[backend.name] += 1
        flying.append(backend)
        if len(flying) > most:
            over = flying.pop(0)
            over.in_flight -= 1
            balancer.released(over, Done(0.001))
    return counts


def serve(
    balancer: Balancer,
    members: list[Backend],
    cores: list[float],
    *,
    rate: float,
    seconds: float = 20.0,
    cost: float | None = 0.05,
    failing: frozenset[int] = frozenset(),
    seed: int = 1,
) -> tuple[Counter[str], list[float]]:
    """Who got how many requests, and how long the second half of them took (seconds).

    A request is 50 ms of work; one that comes to a busy backend takes as much longer as there are requests for each
    core. `cost` is what backends report, None for no reports; those in `failing` fail at once.
    """
    dice, place = Random(seed), {backend: at for at, backend in enumerate(members)}
    flying: list[tuple[float, int, Backend, float, int]] = []
    counts: Counter[str] = Counter()
    took: list[float] = []
    now = ticked = 0.0
    number = 0
    while now < seconds:
        now += dice.expovariate(rate)
        while flying and flying[0][0] <= now:
            finish(balancer, heapq.heappop(flying), cost, failing, place)
        while ticked + 0.1 <= now:
            ticked += 0.1
            balancer.tick(ticked)
        backend = balancer.pick(None)
        assert backend is not None
        backend.in_flight += 1
        balancer.assigned(backend)
        counts[backend.name] += 1
        at = place[backend]
        duration = 0.001 if at in failing else 0.05 * max(1.0, backend.in_flight / cores[at])
        if now > seconds / 2 and at not in failing:
            took.append(duration)
        number += 1
        heapq.heappush(flying, (now + duration, number, backend, duration, backend.in_flight))
    return counts, took


def finish(
    balancer: Balancer,
    flight: tuple[float, int, Backend, float, int],
    cost: float | None,
    failing: frozenset[int],
    place: dict[Backend, int],
) -> None:
    ended, _, backend, duration, beside = flight
    backend.in_flight -= 1
    report = None if cost is None else LoadReport(cost=cost, in_flight=float(backend.in_flight))
    outcome = FAILED if place[backend] in failing else ANSWERED
    balancer.released(backend, Done(duration, outcome, ended, beside, report))
