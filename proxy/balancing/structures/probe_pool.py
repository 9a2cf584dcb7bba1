"""Recent answers of some backends to probes: the pool that a pick in a fleet of proxies chooses from.

Law of this file: at most `size` probes, one per backend, each with its age; a new one replaces the backend's older one,
or the oldest. Nothing is allocated after the start. Source: Wydrowski, Kleinberg, Rumble and
Archer, "Load is not what you should balance: Introducing Prequal", NSDI 2024.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...upstream.backend import Backend
from .sampling import Urn


class PooledProbe:
    """The answer of a backend. `in_flight` counts up with each request that was assigned because of it."""

    def __init__(self) -> None:
        self.backend: Backend | None = None
        self.state: Any = None
        """Further state of the algorithm about the backend."""
        self.in_flight = 0.0
        self.latency = 0.0
        self.when = 0.0
        self.order = 0
        self.uses = 0.0
        """The number of further requests that may be assigned because of it."""


class ProbePool:
    """Probes that are not used up: the first `count` of `probes`, in no order."""

    def __init__(self, size: int, max_age: float) -> None:
        self.probes = [PooledProbe() for _ in range(size)]
        self.size = size
        self.max_age = max_age
        self.count = 0
        self.orders = 0

    def put(self, backend: Backend, state: Any, in_flight: float, latency: float, now: float, uses: float) -> None:
        """Add an answer."""
        at, oldest, order = 0, 0, 1 << 62
        while at < self.count:
            probe: PooledProbe = self.probes[at]
            if probe.backend is backend:
                break
            if probe.order < order:
                oldest, order = at, probe.order
            at += 1
        if at == self.size:
            at = oldest
        elif at == self.count:
            self.count += 1
        probe = self.probes[at]
        self.orders += 1
        probe.order = self.orders
        probe.backend = backend
        probe.state = state
        probe.in_flight = in_flight
        probe.latency = latency
        probe.when = now
        probe.uses = uses

    def remove(self, at: int) -> None:
        """Remove the probe at a place; the last one takes it."""
        last = self.count - 1
        self.count = last
        self.probes[at], self.probes[last] = self.probes[last], self.probes[at]

    def used(self, at: int, more: bool) -> None:
        """A request was assigned because of the probe at a place; `more`: whether another one may be."""
        probe: PooledProbe = self.probes[at]
        probe.in_flight += 1.0
        probe.uses -= 1.0
        if probe.uses < 1.0 and not more:
            self.remove(at)

    def oldest(self) -> int:
        """The place of the oldest probe, -1 if there is none."""
        at, found, order = 0, -1, 1 << 62
        while at < self.count:
            probe: PooledProbe = self.probes[at]
            if probe.order < order:
                found, order = at, probe.order
            at += 1
        return found

    def expire(self, now: float) -> None:
        """Remove probes older than `max_age`."""
        at = self.count - 1
        while at >= 0:
            probe: PooledProbe = self.probes[at]
            if now - probe.when > self.max_age:
                self.remove(at)
            at -= 1

    def keep_only(self, members: Sequence[Backend]) -> None:
        """Remove probes of other backends than these."""
        kept = set(members)
        for at in range(self.count - 1, -1, -1):
            if self.probes[at].backend not in kept:
                self.remove(at)


class ProbeSchedule:
    """Probes backends drawn by weight, `rate` per request on average, through a callable."""

    def __init__(self, rate: float, urn: Urn, dice: Callable[[], float]) -> None:
        self.rate = rate
        self.urn = urn
        self.dice = dice
        self.owed = 0.0

    def ask(self, ask: Callable[[Backend], object]) -> None:
        """Send the probes that are due after a request."""
        self.owed += self.rate
        urn = self.urn
        if not urn.size:
            self.owed = 0.0
            return
        last = -1
        while self.owed >= 1.0:
            self.owed -= 1.0
            at = urn.draw()
            if at == last and urn.size > 1:
                at = urn.draw_other(last)
            last = at
            ask(urn.members[at])
