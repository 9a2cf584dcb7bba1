"""A group: the backends of one upstream as they are now, and which of them may be picked.

Law of this file: a group is live state and outlives the plan that it was made for; what a plan says of it is a
`GroupSpec`. The set of usable backends is worked out when something has changed, at most once per tick; a request only
reads it. Whoever changes a state that others must see says so on the scoreboard.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Any, NamedTuple

from ..deadlines import TICK
from ..errors import QUEUE_FULL, QUEUE_TIMEOUT
from ..metrics import (
    U_ACTIVE,
    U_BALANCER_FAILED,
    U_CEILING,
    U_CONNECT,
    U_FINISH,
    U_PICK,
    U_QUEUE_EXPIRED,
    U_QUEUE_LENGTH,
    U_QUEUE_REFUSED,
    U_QUEUED,
    U_RELAY,
    U_REPORTS,
    U_SEND,
    Histogram,
)
from ..scoreboard import EJECTED_FOR, EJECTED_UNTIL, EJECTIONS, IN_FLIGHT, UPSTREAM_ROW, Scoreboard
from .backend import Backend, BackendSpec, load_of
from .breaker import Breaker, BreakerSpec
from .concurrency import ConcurrencySpec, Gradient
from .connection import Requester
from .health import HealthSpec
from .hedge import Hedger
from .load_report import LoadReport
from .outlier import CONNECT, CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, OutlierSpec, ejection_seconds, may_eject
from .queue import Queue, note_wait
from .reports import Reports, ReportSpec
from .retry import BUDGET_SECONDS, RetrySpec
from .settings import LimitSpec, PoolSettings
from .weights import next_due, weights_of

log = logging.getLogger("qantara")

NO_LIMIT = 1 << 62


class GroupSpec(NamedTuple):
    """What a plan says of an upstream."""

    name: str
    backends: tuple[BackendSpec, ...]
    balance: Any
    """What the balancing algorithm was made from: as long as this is equal, the algorithm keeps what it has learned."""
    pool: PoolSettings = PoolSettings()
    outlier: OutlierSpec | None = OutlierSpec()
    retry: RetrySpec = RetrySpec()
    limits: LimitSpec = LimitSpec()
    panic: float = 0.5
    """Below this share of healthy backends, health is ignored: the checks are then more likely wrong than right."""
    slow_start: float = 30.0
    """Seconds until a backend that comes back has its whole share; 0 for at once."""
    slow_start_floor: float = 0.1
    health: HealthSpec | None = None
    breaker: BreakerSpec | None = None
    concurrency: ConcurrencySpec | None = None
    reports: ReportSpec | None = None


class Group:
    """The backends of one upstream in this worker."""

    def __init__(self, name: str, board: Scoreboard, rows: Any) -> None:
        self.name = name
        self.board = board
        self.spec = GroupSpec(name, (), None)
        self.members: tuple[Backend, ...] = ()
        self.usable: list[Backend] = []
        self.balancer: Any = None
        self.spare: Any = None
        """The algorithm that takes the place of one that fails."""
        self.panicking = False
        self.available = 0
        """Backends in rotation that are healthy."""
        self.due = 0.0
        """When the usable backends have to be worked out again although nothing was said (seconds, monotonic)."""
        self.tokens = 0.0
        """Retries that the budget allows now: requests pay in, retries draw (see upstream/retry.py)."""
        self.per_request = 0.0
        self.most = 0
        self.most_per_backend = 0
        self.most_here = 0
        """What this worker may have at one backend: its share, while others wait for theirs."""
        self.ceiling = NO_LIMIT
        """What this worker may have at the whole upstream: the adaptive limit."""
        self.gradient: Gradient | None = None
        self.breaker: Breaker | None = None
        self.hedger: Hedger | None = None
        self.reports: Reports | None = None
        self.shared = False
        """Whether other workers send to these backends too."""
        self.queue = Queue(0)
        self.waking = False
        start = board.slot * UPSTREAM_ROW
        self.all_rows = rows
        self.rows = rows[start : start + UPSTREAM_ROW]
        """This worker's row, see metrics.py."""
        self.pick_seconds = self._histogram(U_PICK)
        self.connect_seconds = self._histogram(U_CONNECT)
        self.send_seconds = self._histogram(U_SEND)
        self.relay_seconds = self._histogram(U_RELAY)
        self.finish_seconds = self._histogram(U_FINISH)

    def _histogram(self, at: int) -> Histogram:
        return Histogram(self.rows[at : at + U_RELAY - U_CONNECT])

    def count(self, cell: int) -> None:
        """Add one to a cell of this worker's row."""
        self.rows[cell] += 1

    def load(self, cell: int) -> int:
        """The sum of a cell over all workers."""
        total = 0
        at = UPSTREAM_ROW + cell
        end = self.board.used * UPSTREAM_ROW
        while at < end:
            total += self.all_rows[at]
            at += UPSTREAM_ROW
        return total

    # --- membership ---

    def adopt(self, spec: GroupSpec, members: Sequence[Backend], balancer: Any, spare: Any = None) -> None:
        """Take up what a plan says. `balancer` takes the place of the present one if its description has changed, or
        if that one has failed and `spare` picks instead."""
        failed = self.spare is None and spare is not None
        if self.balancer is None or failed or spec.balance != self.spec.balance:
            self.balancer, self.spare = balancer, spare
        old, self.spec = self.spec, spec
        self.most = spec.limits.requests
        self.most_per_backend = self.most_here = spec.limits.requests_per_backend or NO_LIMIT
        self.queue.most = spec.limits.queue
        self.queue.patience, self.queue.target = spec.limits.queue_timeout, spec.limits.queue_target
        self._adopt_overload(old, spec)
        self.per_request = spec.retry.budget
        if not self.members:
            self.tokens = spec.retry.budget_min * BUDGET_SECONDS
        self.set_members(members)

    def _adopt_overload(self, old: GroupSpec, spec: GroupSpec) -> None:
        """What has been learned is kept for as long as its settings stay."""
        if self.breaker is None or spec.breaker != old.breaker:
            self.breaker = Breaker(spec.breaker, self.board, self.all_rows) if spec.breaker is not None else None
        if self.gradient is None or spec.concurrency != old.concurrency:
            self.gradient = None
            if spec.concurrency is not None:
                self.gradient = Gradient(spec.concurrency, self.relay_seconds.cells, monotonic())
        self._set_ceiling()
        if self.hedger is None or spec.retry.hedge != old.retry.hedge:
            hedge = spec.retry.hedge
            self.hedger = Hedger(hedge, self.relay_seconds.cells) if hedge is not None else None
        if self.reports is None or spec.reports != old.reports:
            self.reports = Reports(spec.reports, self) if spec.reports is not None else None
        self.balancer.prober = self.reports.prober if self.reports is not None else None

    def _set_ceiling(self) -> None:
        self.ceiling = self.gradient.allowed if self.gradient is not None else NO_LIMIT
        self.rows[U_CEILING] = self.ceiling if self.gradient is not None else 0

    def set_members(self, members: Sequence[Backend]) -> None:
        """The backends are these from now on. Those that come to a group that is serving start slowly."""
        if self.members:
            known = set(self.members)
            for backend in members:
                if backend not in known:
                    backend.added = monotonic()
        self.members = tuple(members)
        self.refresh(monotonic(), True)

    def refresh(self, now: float, anyway: bool = False) -> None:
        """Work out which backends may be picked at time `now`, and tell the algorithm if that has changed."""
        now_ns = monotonic_ns()
        rotating = [backend for backend in self.members if backend.in_rotation()]
        healthy = [backend for backend in rotating if backend.healthy(now_ns)]
        self.available = len(healthy)
        if self.breaker is not None:
            self.breaker.refresh(now)
        panicking = bool(rotating) and len(healthy) < self.spec.panic * len(rotating)
        if panicking != self.panicking:
            self.panicking = panicking
            log.warning(
                "upstream %s: %d of %d backends are healthy: %s",
                *(self.name, len(healthy), len(rotating)),
                "health is ignored, all are used (panic)" if panicking else "health counts again",
            )
        usable = healthy
        if panicking:  # what refuses connections is no matter of opinion
            usable = [backend for backend in rotating if not backend.refuses(now_ns)] or rotating
        window = self.spec.slow_start
        weights = weights_of(usable, now, window, self.spec.slow_start_floor)
        self.due = next_due(self.members, now, now_ns, window)
        if not anyway and usable == self.usable and weights == [(each.weight, each.scale) for each in usable]:
            return
        for backend, (weight, scale) in zip(usable, weights, strict=True):
            backend.weight, backend.scale = weight, scale
        self.usable = usable
        self._rebuild(rotating)

    def _rebuild(self, rotating: Sequence[Backend]) -> None:
        try:
            self.balancer.census(rotating)
            self.balancer.rebuild(self.usable)
        except Exception:
            self.balancer_failed(self.balancer)

    def balancer_failed(self, balancer: Any) -> Any:
        """An algorithm has raised (call this where the exception is caught): from now on another one picks, which is
        returned. No request fails for it."""
        self.count(U_BALANCER_FAILED)
        if balancer is not self.balancer or self.spare is None:
            return self.balancer
        name = type(balancer).__name__
        self.spare.prober = self.balancer.prober
        log.exception("upstream %s: balancing algorithm %s failed, %s takes over", self.name, name, self.spare.name)
        self.balancer, self.spare = self.spare, None
        self._rebuild([backend for backend in self.members if backend.in_rotation()])
        return self.balancer

    # --- passive health ---

    def failed(self, backend: Backend, connect: bool, gateway: bool) -> None:
        """A request failed at a backend: no connection (`connect`), no response (`gateway`), or a 5xx status, which
        is a `gateway` failure too if it is 502, 503 or 504."""
        spec = self.spec.outlier
        if connect:
            backend.connects_in_row += 1
        else:
            backend.errors_in_row += 1
            if gateway:
                backend.gateway_in_row += 1
        if spec is None:
            return
        if connect:
            if 0 < spec.connect_failures <= backend.connects_in_row:
                self.eject(backend, CONNECT)
        elif 0 < spec.consecutive_gateway <= backend.gateway_in_row:
            self.eject(backend, CONSECUTIVE_GATEWAY)
        elif 0 < spec.consecutive_5xx <= backend.errors_in_row:
            self.eject(backend, CONSECUTIVE_5XX)

    def eject(self, backend: Backend, cause: int) -> None:
        """Take a backend out for a while, if that is allowed."""
        spec = self.spec.outlier
        now_ns = monotonic_ns()
        if spec is None or not backend.healthy(now_ns) or not backend.in_rotation():
            return
        rotating = [member for member in self.members if member.in_rotation()]
        ejected = sum(member.ejected_until() > now_ns for member in rotating)
        available = sum(member.healthy(now_ns) for member in rotating)
        allowed = may_eject(spec, len(rotating), available, ejected, self.spec.panic)
        if not (allowed or (cause == CONNECT and available > 1)):  # what refuses connections serves nobody by staying
            return
        # an ejection that is long past is forgiven, one for each as long a time without
        calm = (now_ns - backend.ejected_until()) / 1e9
        times = max(0.0, backend.times_ejected - calm // spec.base_ejection) if backend.times_ejected else 0.0
        seconds = ejection_seconds(spec, cause, times)
        backend.times_ejected = times + 1.0
        backend.errors_in_row = backend.gateway_in_row = backend.connects_in_row = 0
        backend.rows[backend.own + EJECTED_UNTIL] = now_ns + int(seconds * 1e9)
        backend.rows[backend.own + EJECTED_FOR] = cause
        backend.count(EJECTIONS)
        self.board.changed(self.board.slot)
        self.refresh(monotonic())

    def heard(self, backend: Backend, report: LoadReport, now: float) -> None:
        """A backend has told of its load in a response (`now`: seconds, monotonic). The algorithm gets that with the
        end of the request."""
        self.rows[U_REPORTS] += 1
        backend.report = report
        backend.reported_at = now

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        """A backend has told of its load because it was asked, or before a tunnel."""
        self.heard(backend, report, now)
        balancer = self.balancer
        try:
            balancer.reported(backend, report, now)
        except Exception:
            self.balancer_failed(balancer)

    # --- retries ---

    def may_retry(self) -> bool:
        """Draw one retry from the budget, if there is one."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def another(self, tried: Sequence[Backend], key: bytes | None) -> Backend | None:
        """A usable backend that is not among those tried: the algorithm's choice if it makes one."""
        for _ in range(len(tried) + 1):
            backend: Backend | None = self.balancer.pick(key)
            if backend is not None and backend not in tried:
                return backend
        return self.first_of(tried)

    def first_of(self, tried: Sequence[Backend]) -> Backend | None:
        """The least loaded usable backend that was not tried."""
        free = [backend for backend in self.usable if backend not in tried and backend.weight > 0]
        return min(free, key=load_of) if free else None

    # --- limits ---

    def with_room(self) -> Backend | None:
        """The least loaded usable backend, if it is below its limit."""
        backend = self.first_of(())
        return backend if backend is not None and self.below_limit(backend) else None

    def below_limit(self, backend: Backend) -> bool:
        """Whether a backend may have one more request."""
        return backend.rows[backend.own + IN_FLIGHT] < self.most_here and backend.load() < self.most_per_backend

    def has_room(self, more: int) -> bool:
        """Whether the upstream may have so many `more` requests than it has now, of all workers and of this one."""
        if self.most and self.load(U_ACTIVE) - self.load(U_QUEUE_LENGTH) + more > self.most:
            return False
        return bool(self.rows[U_ACTIVE] - self.queue.length + more <= self.ceiling)

    def enqueue(self, requester: Requester, priority: int) -> None:
        """Let a request wait until there is room: its `room` is called then, or its `connect_failed`."""
        now = monotonic()
        if not self.queue.push(requester, priority, now, now + self.spec.limits.queue_timeout):
            self.count(U_QUEUE_REFUSED)
            requester.connect_failed(QUEUE_FULL)
            return
        requester.queued_at = now
        self.count(U_QUEUED)
        self.rows[U_QUEUE_LENGTH] = self.queue.length

    def leave_queue(self, requester: Requester) -> None:
        """A request that waits is given up."""
        self.queue.leave(requester)
        self.rows[U_QUEUE_LENGTH] = self.queue.length
        note_wait(requester, monotonic(), self.pick_seconds)

    def wake(self) -> None:
        """Let those go on for whom there is room now."""
        if self.waking:  # those who go on may end at once, and come back here
            return
        self.waking = True
        try:
            for _ in range(self.queue.length):
                if not self.has_room(1) or self.with_room() is None:
                    return
                requester: Requester = self.queue.pop()
                self.rows[U_QUEUE_LENGTH] = self.queue.length
                note_wait(requester, monotonic(), self.pick_seconds)
                requester.room()
        finally:
            self.waking = False

    def tick(self, now: float) -> None:
        """Once per tick: the adaptive limit, the breaker's window, the budget of retries, who waits too long, room that
        other workers have made, and whether they wait for ours."""
        if self.gradient is not None:
            self.gradient.tick(now, int(self.rows[U_ACTIVE]) - self.queue.length)
            self._set_ceiling()
        if self.breaker is not None:
            self.breaker.tick(now)
        if self.hedger is not None:
            self.hedger.tick(now)
        if self.reports is not None:
            self.reports.tick(now)
        if self.queue.length:
            for requester in self.queue.late(now):
                self.count(U_QUEUE_EXPIRED)
                note_wait(requester, now, self.pick_seconds)
                requester.connect_failed(QUEUE_TIMEOUT)
            self.rows[U_QUEUE_LENGTH] = self.queue.length
            self.wake()
        try:
            self.balancer.tick(now)
        except Exception:
            self.balancer_failed(self.balancer)
        self.tokens += (self.spec.retry.budget_min - self.tokens / BUDGET_SECONDS) * TICK
        workers = self.board.used - 1
        self.shared = workers > 1
        contended = workers > 1 and self.load(U_QUEUE_LENGTH) > self.queue.length
        self.most_here = max(1, self.most_per_backend // workers) if contended else self.most_per_backend
