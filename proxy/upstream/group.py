"""A group: the backends of one upstream as they are now: membership, passive health, limits, what waits.

Law of this file: a group is live state and outlives the plan that it was made for; what a plan says of it is a
`GroupSpec`. The set of usable backends is worked out when something has changed, at most once per tick; a request only
reads it (picker.py). Whoever changes a state that others must see says so on the scoreboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic, monotonic_ns
from typing import Any

from ..deadlines import TICK
from ..errors import QUEUE_FULL, QUEUE_TIMEOUT
from ..metrics import (
    U_ACTIVE,
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
from .backend import Backend
from .breaker import Breaker
from .concurrency import Gradient
from .hedge import Hedger
from .load.report import LoadReport
from .load.sources import Reports
from .passive_health import CONNECT, CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, ejection_seconds, may_eject
from .picker import Picker, Selector
from .ports import Requester
from .queue import note_wait
from .retry import BUDGET_SECONDS
from .spec import GroupSpec
from .weights import next_due, weights_of

NO_LIMIT = 1 << 62
PASSED = 8
"""Requests that are passed over, each time somebody is woken, since there is no room where they may go."""


class Group(Picker):
    """The backends of one upstream in this worker; as a picker, that of all of them."""

    def __init__(self, name: str, board: Scoreboard, rows: Any) -> None:
        super().__init__(name)
        self.board = board
        self.spec = GroupSpec(name, (), None)
        self.members: tuple[Backend, ...] = ()
        self.subsets: dict[Selector, Picker] = {}
        """Of routes that want only members with certain labels. They outlive the plan that names them by one more: its
        last requests may need them."""
        self.wanted: frozenset[Selector] = frozenset()
        """Those that the present plan names."""
        self.pickers: list[Picker] = [self]
        self.turn = 0
        """Which of them is the first to get room."""
        self.waiting = 0
        """Requests of this worker in all their queues."""
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
        self.waking = False
        start = board.slot * UPSTREAM_ROW
        self.all_rows = rows
        self.rows = self.cells = rows[start : start + UPSTREAM_ROW]
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

    def subset(self, selector: Selector) -> Picker:
        """The picker of the members with certain labels, a new one without an algorithm if there is none yet."""
        found = self.subsets.get(selector)
        if found is None:
            found = self.subsets[selector] = Picker(f"{self.name} ({selector})", selector)
            found.cells = self.rows
            self.pickers.append(found)
        return found

    def adopt(
        self,
        spec: GroupSpec,
        members: Sequence[Backend],
        balancer: Any,
        spare: Any = None,
        subsets: Mapping[Selector, tuple[Any, Any]] | None = None,
    ) -> None:
        """Take up what a plan says. The algorithms given, one and a spare for all members and for each subset, take
        the place of the present ones if their description has changed, or if they have failed."""
        self.take_up(spec.balance, balancer, spare)
        self._adopt_subsets(spec.balance, subsets or {})
        old, self.spec = self.spec, spec
        self.most = spec.limits.requests
        self.most_per_backend = self.most_here = spec.limits.requests_per_backend or NO_LIMIT
        for picker in self.pickers:
            picker.queue.most = spec.limits.queue
            picker.queue.patience, picker.queue.target = spec.limits.queue_timeout, spec.limits.queue_target
        self._adopt_overload(old, spec)
        self.per_request = spec.retry.budget
        if not self.members:
            self.tokens = spec.retry.budget_min * BUDGET_SECONDS
        self.set_members(members)

    def _adopt_subsets(self, balance: Any, subsets: Mapping[Selector, tuple[Any, Any]]) -> None:
        kept = {*subsets, *self.wanted}
        self.wanted = frozenset(subsets)
        for selector, picker in list(self.subsets.items()):
            if selector not in kept and not picker.queue.length:
                del self.subsets[selector]
                self.pickers.remove(picker)
        for selector, (balancer, spare) in subsets.items():
            self.subset(selector).take_up(balance, balancer, spare)

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
        for picker in self.pickers:
            if picker.balancer is not None:
                picker.balancer.prober = self.reports.prober if self.reports is not None else None

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
        """Look at the backends at time `now`, and tell the pickers what has changed."""
        now_ns = monotonic_ns()
        spec = self.spec
        if self.breaker is not None:
            self.breaker.refresh(now)
        rotating = [backend for backend in self.members if backend.in_rotation()]
        weights = weights_of(rotating, now, spec.slow_start, spec.slow_start_floor)
        for backend, (weight, scale) in zip(rotating, weights, strict=True):
            backend.weight, backend.scale, backend.well = weight, scale, backend.healthy(now_ns)
        self.due = next_due(self.members, now, now_ns, spec.slow_start)
        for picker in self.pickers:
            picker.settle(self.members, rotating, spec.panic, spec.overprovisioning, now_ns, anyway)

    def explain(self) -> dict[str, Any]:
        """What the algorithm knows, for people; under `subsets` what those of routes with labels know."""
        found = dict(self.balancer.explain())
        subsets = {str(selector): self.subsets[selector].balancer.explain() for selector in self.wanted}
        return found | {"subsets": subsets} if subsets else found

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
        for picker in self.pickers:
            picker.reported_to(backend, report, now)

    # --- retries ---

    def may_retry(self) -> bool:
        """Draw one retry from the budget, if there is one."""
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    # --- limits ---

    def with_room(self, picker: Picker, tried: Sequence[Backend], key: bytes | None) -> Backend | None:
        """The first backend below its limit of those that a request with this key may go to and was not sent to yet."""
        return picker.first_of(tried, key, self)

    def below_limit(self, backend: Backend) -> bool:
        """Whether a backend may have one more request."""
        return backend.rows[backend.own + IN_FLIGHT] < self.most_here and backend.load() < self.most_per_backend

    def has_room(self, more: int) -> bool:
        """Whether the upstream may have so many `more` requests than it has now, of all workers and of this one."""
        if self.most and self.load(U_ACTIVE) - self.load(U_QUEUE_LENGTH) + more > self.most:
            return False
        return bool(self.rows[U_ACTIVE] - self.waiting + more <= self.ceiling)

    def enqueue(self, requester: Requester, picker: Picker, priority: int, since: float, now: float) -> None:
        """Let a request, which has wanted room `since` then, wait until there is: its `slot_free` is called, or its
        `connect_failed`."""
        if not picker.queue.push(requester, priority, since, since + self.spec.limits.queue_timeout):
            self.count(U_QUEUE_REFUSED)
            requester.connect_failed(QUEUE_FULL)
            return
        requester.queued_at = now
        self.count(U_QUEUED)
        self._wait(1)

    def leave_queue(self, requester: Requester, picker: Picker) -> None:
        """A request that waits is given up."""
        before = picker.queue.length
        picker.queue.leave(requester)
        self._wait(picker.queue.length - before)
        note_wait(requester, monotonic(), self.pick_seconds)

    def _wait(self, more: int) -> None:
        self.waiting += more
        self.rows[U_QUEUE_LENGTH] = self.waiting

    def wake(self) -> None:
        """Let those go on for whom there is room now; each time another queue is the first."""
        if self.waking:  # those who go on may end at once, and come back here
            return
        self.waking = True
        try:
            if len(self.pickers) == 1:
                self._wake(self)
                return
            self.turn = (self.turn + 1) % len(self.pickers)
            for picker in self.pickers[self.turn :] + self.pickers[: self.turn]:
                self._wake(picker)
        finally:
            self.waking = False

    def _wake(self, picker: Picker) -> None:
        queue, passed = picker.queue, 0
        for _ in range(queue.length):
            if not self.has_room(1) or not self._some_room(picker):
                return
            requester: Requester | None = queue.peek(passed)
            while requester is not None and not requester.can_use_slot():  # there is a slot, but not for it
                passed += 1
                requester = queue.peek(passed) if passed < PASSED else None
            if requester is None:
                return
            queue.pop(passed)
            self._wait(-1)
            note_wait(requester, monotonic(), self.pick_seconds)
            requester.slot_free()

    def _some_room(self, picker: Picker) -> bool:
        """Whether there is a member that may have one more request."""
        for backend in picker.usable:
            if backend.weight > 0 and self.below_limit(backend):
                return True
        return False

    def tick(self, now: float, lag: float = 0.0) -> None:
        """Once per tick, `lag` seconds late: the adaptive limit, the breaker's window, the budget of retries, who waits
        too long, room that other workers have made, and whether they wait for ours."""
        if self.gradient is not None:
            self.gradient.tick(now, int(self.rows[U_ACTIVE]) - self.waiting, lag)
            self._set_ceiling()
        if self.breaker is not None:
            self.breaker.tick(now)
        if self.hedger is not None:
            self.hedger.tick(now)
        if self.reports is not None:
            self.reports.tick(now)
        if self.waiting:
            for picker in self.pickers:
                late = picker.queue.late(now)
                self._wait(-len(late))
                for requester in late:
                    self.count(U_QUEUE_EXPIRED)
                    note_wait(requester, now, self.pick_seconds)
                    requester.connect_failed(QUEUE_TIMEOUT)
            self.wake()
        for picker in self.pickers:
            picker.tick_balancer(now)
        self.tokens += (self.spec.retry.budget_min - self.tokens / BUDGET_SECONDS) * TICK
        workers = self.board.used - 1
        self.shared = workers > 1
        contended = workers > 1 and self.load(U_QUEUE_LENGTH) > self.waiting
        self.most_here = max(1, self.most_per_backend // workers) if contended else self.most_per_backend
