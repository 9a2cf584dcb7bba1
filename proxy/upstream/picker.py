"""A picker: the members of a group that a route may use, those of them that are usable, and a balancing algorithm.

Law of this file: a group is the picker of all its members; a route with labels has a picker of its own in the group,
with an algorithm and a queue of its own, so that its requests, their retries and their waits stay among the members
with these labels. The group calls `settle` after a change; a request only reads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..errors import PolicyTooSlow
from ..metrics import U_BALANCER_FAILED, U_BALANCER_SLOW
from .backend import Backend
from .load.report import LoadReport
from .members import Members
from .overload import Overload
from .panic import in_panic, usable_of
from .queue import Queue

log = logging.getLogger("qantara")


class Selector(NamedTuple):
    """The labels by which a route selects members."""

    labels: tuple[tuple[str, str], ...]
    """Sorted pairs; a selected member has all of them."""
    any_else: bool = True
    """Whether all members are used while no selected one is healthy."""

    def matches(self, backend: Backend) -> bool:
        """Whether a member has all labels."""
        return set(self.labels) <= set(backend.spec.labels)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.labels)


class Picker:
    """The members of a group that a selector matches, and the algorithm that picks among the usable ones."""

    def __init__(self, name: str, selector: Selector | None = None) -> None:
        self.name = name
        """For log lines."""
        self.selector = selector
        """None: all members."""
        self.rows: Any = None
        """This worker's row of the upstream (metrics.py)."""
        self.balance: Any = None
        """The description of the algorithm."""
        self.balancer: Any = None
        self.spare: Any = None
        """The algorithm that replaces one that fails; None after it has."""
        self.everyone: list[Backend] = []
        """Selected members, drained ones included."""
        self.rotating: list[Backend] = []
        """Those in rotation, healthy or not."""
        self.seen: list[tuple[Backend, int, int, bool]] = []
        """The same with weight, scale and health, as the algorithm was given them."""
        self.known: set[Backend] = set()
        """The same, for lookups."""
        self.usable: list[Backend] = []
        """Those that may be picked."""
        self.panicking = False
        self.available = 0
        """The number of those in rotation that are healthy."""
        self.queue = Queue(0)

    def take_up(self, balance: Any, balancer: Any, spare: Any) -> None:
        """Replace the algorithm and its spare, if the description has changed or the present algorithm has failed."""
        failed = self.spare is None and spare is not None
        if self.balancer is None or failed or balance != self.balance:
            self.balance, self.balancer, self.spare = balance, balancer, spare
            if balancer is not None:
                balancer.scope = str(self.selector) if self.selector is not None else None

    def settle(self, members: Members, now_ns: int, force: bool) -> None:
        """Compute the usable members at time `now_ns`; rebuild the algorithm if they, or a weight or the health of one
        in rotation, have changed, or with `force`."""
        selector = None if self._uses_all(members.in_rotation) else self.selector
        mine = selected(selector, members.in_rotation)
        health = [(backend.spec.priority, backend.healthy) for backend in mine]
        panicking = in_panic(health, members.panic, members.overprovisioning)
        usable = usable_of(mine, panicking, now_ns)
        self.available = sum(backend.healthy for backend in mine)
        if bool(panicking) != self.panicking:
            self.panicking = bool(panicking)
            log.warning(
                "upstream %s: %d of %d backends are healthy: %s",
                *(self.name, self.available, len(mine)),
                "health is ignored, all are used (panic)" if panicking else "health counts again",
            )
        seen = [(backend, backend.weight, backend.scale, backend.healthy) for backend in mine]
        if force or seen != self.seen or usable != self.usable:
            self.rotating, self.seen, self.known, self.usable = mine, seen, set(mine), usable
            self.everyone = selected(selector, members.all)
            self._rebuild()

    def _uses_all(self, rotating: Sequence[Backend]) -> bool:
        """Whether every member is selected: without a selector, or because no selected one is healthy."""
        selector = self.selector
        if selector is None or not selector.any_else:
            return selector is None
        return not any(backend.healthy and selector.matches(backend) for backend in rotating)

    def _rebuild(self) -> None:
        if self.balancer is None:
            return
        try:
            # by its class: an algorithm of a user's own may have a field of this name
            type(self.balancer).members(self.balancer, self.everyone, self.rotating, self.usable)
        except Exception:
            self.balancer_failed(self.balancer)

    def reported_to(self, backend: Backend, report: LoadReport, now: float) -> None:
        """Hand a load report of a member to the algorithm."""
        balancer = self.balancer
        if balancer is None or (self.selector is not None and backend not in self.known):
            return
        try:
            balancer.reported(backend, report, now)
        except Exception:
            self.balancer_failed(balancer)

    def tick_balancer(self, now: float) -> None:
        """Run the periodic work of the algorithm."""
        if self.balancer is None:
            return
        try:
            self.balancer.tick(now)
        except Exception:
            self.balancer_failed(self.balancer)

    def balancer_failed(self, balancer: Any) -> Any:
        """Replace an algorithm that has raised by its spare, which is returned. Called where the exception is caught;
        no request fails for it. PolicyTooSlow is the exception of the time guard."""
        self.rows[U_BALANCER_FAILED] += 1
        error = sys.exc_info()[1]
        slow = isinstance(error, PolicyTooSlow)
        if slow:
            self.rows[U_BALANCER_SLOW] += 1
        if balancer is not self.balancer or self.spare is None:
            return self.balancer
        name = getattr(self.balance, "algorithm", type(balancer).__name__)
        other = getattr(self.balance, "fallback", self.spare.name)
        self.spare.prober, self.spare.scope = self.balancer.prober, self.balancer.scope
        if slow:  # a traceback would lead to where the time is taken
            words = "upstream %s: balancing algorithm %s is too slow, %s takes over: %s"
            log.error(words, self.name, name, other, error)
        else:
            log.exception("upstream %s: balancing algorithm %s failed, %s takes over", self.name, name, other)
        self.balancer, self.spare = self.spare, None
        self._rebuild()
        return self.balancer

    def another(self, tried: Sequence[Backend], key: bytes | None) -> Backend | None:
        """A usable backend that is not among those tried: the algorithm's choice if it makes one."""
        for _ in range(len(tried) + 1):
            backend: Backend | None = self.balancer.pick(key)
            if backend is not None and backend not in tried:
                return backend
        return self.first_of(tried, key)

    def first_of(
        self, tried: Sequence[Backend], key: bytes | None = None, limits: Overload | None = None
    ) -> Backend | None:
        """The least loaded usable backend of the first priority that was not tried and is within `limits`, of those
        that the algorithm lets a request with this key go to first."""
        for rank in self._candidates(key):
            free = [backend for backend in rank if backend.weight > 0 and backend not in tried]
            if limits is not None:
                free = [backend for backend in free if limits.below_limit(backend)]
            if free:
                return min(free, key=precedence)
        return None

    def any_of(self, tried: Sequence[Backend], key: bytes | None, limits: Overload) -> bool:
        """Whether `first_of` would find a backend."""
        for rank in self._candidates(key):
            for backend in rank:
                if backend.weight > 0 and limits.below_limit(backend) and backend not in tried:
                    return True
        return False

    def _candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]]:
        """The groups of backends that a request with this key may go to, the best first."""
        try:
            candidates: Sequence[Sequence[Backend]] | None = self.balancer.candidates(key)
        except Exception:
            candidates = self.balancer_failed(self.balancer).candidates(key)
        return (self.usable,) if candidates is None else candidates


def precedence(backend: Backend) -> tuple[int, float]:
    """Its priority, then its requests in flight in proportion to its weight."""
    return backend.spec.priority, backend.load() / backend.weight


def selected(selector: Selector | None, backends: Sequence[Backend]) -> list[Backend]:
    """The backends that a selector matches; all without a selector."""
    return list(backends) if selector is None else [backend for backend in backends if selector.matches(backend)]
