"""Some members of a group that may be picked now, and the algorithm that picks among them.

Law of this file: a group is the picker of all its members; routes that want only members with certain labels have
pickers of their own in it, each with an algorithm and a queue of its own, so that a request of theirs, its retries and
its wait included, stays among those members. The group says when something has changed; a request only reads.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ..errors import PolicyTooSlow
from ..metrics import U_BALANCER_FAILED, U_BALANCER_SLOW
from .backend import Backend
from .load.report import LoadReport
from .panic import in_panic, usable_of
from .queue import Queue

log = logging.getLogger("qantara")


class Limits(Protocol):
    """Says who may have more."""

    def below_limit(self, backend: Backend) -> bool:
        """Whether a backend may have one more request."""


class Selector(NamedTuple):
    """Which members a route wants."""

    labels: tuple[tuple[str, str], ...]
    """Sorted pairs; a member must have all of them."""
    any_else: bool = True
    """Whether all members are used if none of those is healthy."""

    def takes(self, backend: Backend) -> bool:
        return set(self.labels) <= set(backend.spec.labels)

    def __str__(self) -> str:
        return ", ".join(f"{name}={value}" for name, value in self.labels)


class Picker:
    """Some members, those in rotation and the usable ones among them, and an algorithm."""

    def __init__(self, name: str, selector: Selector | None = None) -> None:
        self.name = name
        """For people."""
        self.selector = selector
        self.cells: Any = None
        """The row that failures are counted in, this worker's of the upstream."""
        self.balance: Any = None
        """What the algorithm was made from."""
        self.balancer: Any = None
        self.spare: Any = None
        """The algorithm that takes the place of one that fails."""
        self.everyone: list[Backend] = []
        """Its members, drained ones too."""
        self.rotating: list[Backend] = []
        """Members in rotation, healthy or not."""
        self.seen: list[tuple[Backend, int, int, bool]] = []
        """The same with their weights and whether they are healthy, as the algorithm knows them."""
        self.known: set[Backend] = set()
        """The same, to look one up."""
        self.usable: list[Backend] = []
        self.panicking = False
        self.available = 0
        """Members in rotation that are healthy."""
        self.queue = Queue(0)

    def take_up(self, balance: Any, balancer: Any, spare: Any) -> None:
        """The algorithm is this one, if its description has changed or the present one has failed and its spare picks;
        else the present one stays."""
        failed = self.spare is None and spare is not None
        if self.balancer is None or failed or balance != self.balance:
            self.balance, self.balancer, self.spare = balance, balancer, spare
            if balancer is not None:
                balancer.scope = str(self.selector) if self.selector is not None else None

    def settle(
        self,
        members: Sequence[Backend],
        rotating: Sequence[Backend],
        panic: float,
        factor: float,
        now_ns: int,
        anyway: bool,
    ) -> None:
        """Work out who may be picked of those in rotation; tell the algorithm if that, or one of them, has changed, or
        `anyway`.

        `panic` and `factor` are those of upstream/panic.py.
        """
        selector = None if self._takes_all(rotating) else self.selector
        mine = selected(selector, rotating)
        panicking = in_panic([(backend.spec.priority, backend.well) for backend in mine], panic, factor)
        usable = usable_of(mine, panicking, now_ns)
        self.available = sum(backend.well for backend in mine)
        if bool(panicking) != self.panicking:
            self.panicking = bool(panicking)
            log.warning(
                "upstream %s: %d of %d backends are healthy: %s",
                *(self.name, self.available, len(mine)),
                "health is ignored, all are used (panic)" if panicking else "health counts again",
            )
        seen = [(backend, backend.weight, backend.scale, backend.well) for backend in mine]
        if anyway or seen != self.seen or usable != self.usable:
            self.rotating, self.seen, self.known, self.usable = mine, seen, set(mine), usable
            self.everyone = selected(selector, members)
            self._rebuild()

    def _takes_all(self, rotating: Sequence[Backend]) -> bool:
        """Whether nobody is left out, be it because none of those with the labels is well."""
        selector = self.selector
        if selector is None or not selector.any_else:
            return selector is None
        return not any(backend.well and selector.takes(backend) for backend in rotating)

    def _rebuild(self) -> None:
        if self.balancer is None:
            return
        try:
            # by its class: an algorithm of a user's own may have a field of this name
            type(self.balancer).members(self.balancer, self.everyone, self.rotating, self.usable)
        except Exception:
            self.balancer_failed(self.balancer)

    def reported_to(self, backend: Backend, report: LoadReport, now: float) -> None:
        """A member has told of its load."""
        balancer = self.balancer
        if balancer is None or (self.selector is not None and backend not in self.known):
            return
        try:
            balancer.reported(backend, report, now)
        except Exception:
            self.balancer_failed(balancer)

    def tick_balancer(self, now: float) -> None:
        """Let the algorithm do what it does now and then."""
        if self.balancer is None:
            return
        try:
            self.balancer.tick(now)
        except Exception:
            self.balancer_failed(self.balancer)

    def balancer_failed(self, balancer: Any) -> Any:
        """An algorithm has raised (call this where the exception is caught): from now on another one picks, which is
        returned. No request fails for it. One that was too slow has raised PolicyTooSlow."""
        self.cells[U_BALANCER_FAILED] += 1
        error = sys.exc_info()[1]
        slow = isinstance(error, PolicyTooSlow)
        if slow:
            self.cells[U_BALANCER_SLOW] += 1
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
        self, tried: Sequence[Backend], key: bytes | None = None, limits: Limits | None = None
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

    def any_of(self, tried: Sequence[Backend], key: bytes | None, limits: Limits) -> bool:
        """Whether `first_of` would find somebody."""
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
    """Those that have the labels; all without a selector."""
    return list(backends) if selector is None else [backend for backend in backends if selector.takes(backend)]
