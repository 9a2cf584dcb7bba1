"""Overload protection of an upstream: limits on requests in flight, the adaptive limit, the circuit breaker.

Law of this file: it answers whether one more request may be sent; a request that may not waits in a queue (queues.py).
Limits are counted over all workers; the adaptive limit is that of this worker.
"""

from __future__ import annotations

from time import monotonic

from ..metrics import U_ACTIVE, U_CEILING, U_QUEUE_LENGTH
from ..scoreboard import IN_FLIGHT
from .backend import Backend
from .breaker import Breaker, BreakerSpec
from .concurrency import ConcurrencySpec, Gradient
from .spec import LimitSpec
from .stats import UpstreamStats

NO_LIMIT = 1 << 62


class Overload:
    """The limits of one upstream in one worker. Requests in its queues are active, but not in flight."""

    def __init__(self, stats: UpstreamStats) -> None:
        self.stats = stats
        self.rows = stats.rows
        self.max_requests = 0
        """Requests in flight at the upstream; 0 is no limit."""
        self.max_per_backend = NO_LIMIT
        self.local_share = NO_LIMIT
        """Requests in flight of this worker at one backend: an equal share of `max_per_backend` while requests wait in
        other workers."""
        self.adaptive_limit = NO_LIMIT
        """Requests in flight of this worker at the upstream."""
        self.gradient: Gradient | None = None
        self.breaker: Breaker | None = None
        self.shared = False
        """Whether other workers send to the upstream too."""

    def adopt(self, limits: LimitSpec, breaker: BreakerSpec | None, concurrency: ConcurrencySpec | None) -> None:
        """Take up the configuration. Breaker and adaptive limit keep their state while their settings stay equal."""
        self.max_requests = limits.requests
        self.max_per_backend = self.local_share = limits.requests_per_backend or NO_LIMIT
        stats = self.stats
        if breaker is None:
            self.breaker = None
        elif self.breaker is None or self.breaker.spec != breaker:
            self.breaker = Breaker(breaker, stats.board, stats.all_rows)
        if concurrency is None:
            self.gradient = None
        elif self.gradient is None or self.gradient.spec != concurrency:
            self.gradient = Gradient(concurrency, stats.relay_seconds.cells, monotonic())
        self._set_adaptive_limit()

    def _set_adaptive_limit(self) -> None:
        self.adaptive_limit = self.gradient.allowed if self.gradient is not None else NO_LIMIT
        self.rows[U_CEILING] = self.adaptive_limit if self.gradient is not None else 0

    def near_limit(self, backend: Backend) -> bool:
        """Whether `has_room` and `below_limit` must be evaluated: cheap, and true if either of them could be false
        for a request that is active already."""
        if self.rows[U_ACTIVE] > self.adaptive_limit or backend.rows[backend.own + IN_FLIGHT] >= self.local_share:
            return True
        return bool(self.max_requests or (self.shared and backend.load() >= self.max_per_backend))

    def below_limit(self, backend: Backend) -> bool:
        """Whether a backend may have one more request."""
        return backend.rows[backend.own + IN_FLIGHT] < self.local_share and backend.load() < self.max_per_backend

    def has_room(self, more: int) -> bool:
        """Whether the upstream may have `more` requests in flight beside those that it has."""
        stats = self.stats
        if self.max_requests:
            in_flight = stats.total(U_ACTIVE) - stats.total(U_QUEUE_LENGTH)
            if in_flight + more > self.max_requests:
                return False
        return bool(self.rows[U_ACTIVE] - self.rows[U_QUEUE_LENGTH] + more <= self.adaptive_limit)

    def refresh(self, now: float) -> None:
        """Take over a breaker state that another worker has published."""
        if self.breaker is not None:
            self.breaker.refresh(now)

    def tick(self, now: float, lag: float) -> None:
        """Once per tick, `lag` seconds late: the adaptive limit, the breaker's window, the share of this worker."""
        waiting = int(self.rows[U_QUEUE_LENGTH])
        if self.gradient is not None:
            self.gradient.tick(now, int(self.rows[U_ACTIVE]) - waiting, lag)
            self._set_adaptive_limit()
        if self.breaker is not None:
            self.breaker.tick(now)
        workers = self.stats.board.used - 1
        self.shared = workers > 1
        contended = self.shared and self.stats.total(U_QUEUE_LENGTH) > waiting
        self.local_share = max(1, self.max_per_backend // workers) if contended else self.max_per_backend
