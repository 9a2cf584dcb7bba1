"""A group: the live state of one upstream in one worker, in parts.

Law of this file: it owns the parts, hands each its configuration and calls them in order; the rules are theirs. A group
outlives the plan that it was made for; its configuration is a `GroupSpec`. Usable backends are computed after a
change, at most once per tick; a request only reads them (picker.py). A change that other workers must see is published
on the scoreboard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic, monotonic_ns
from typing import Any

from ..metrics import U_REPORTS
from ..scoreboard import Scoreboard
from .backend import Backend
from .hedge import Hedger
from .load.report import LoadReport
from .load.sources import Reports
from .members import Members
from .overload import Overload
from .passive_health import PassiveHealth
from .picker import Picker, Selector
from .queues import Queues
from .retry_budget import RetryBudget
from .spec import GroupSpec
from .stats import UpstreamStats


class Group(Picker):
    """One upstream in one worker. As a picker, that of all members."""

    def __init__(self, name: str, board: Scoreboard, all_rows: Any) -> None:
        super().__init__(name)
        self.board = board
        self.spec = GroupSpec(name, (), None)
        self.stats = UpstreamStats(board, all_rows)
        self.rows = self.stats.rows
        self.subsets: dict[Selector, Picker] = {}
        """Pickers of routes with labels. One outlives the plan that names it by one more, for its last requests."""
        self.wanted: frozenset[Selector] = frozenset()
        """The subsets that the present plan names."""
        self.pickers: list[Picker] = [self]
        self.members = Members()
        self.overload = Overload(self.stats)
        self.queues = Queues(self.stats, self.overload, self.pickers)
        self.passive_health = PassiveHealth(self.members, board, self.refresh)
        self.retry_budget = RetryBudget()
        self.hedger: Hedger | None = None
        self.reports: Reports | None = None

    # --- configuration ---

    def subset(self, selector: Selector) -> Picker:
        """The picker of the members with certain labels; a new one has no algorithm yet."""
        found = self.subsets.get(selector)
        if found is None:
            found = self.subsets[selector] = Picker(f"{self.name} ({selector})", selector)
            found.rows = self.rows
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
        """Take up a configuration. What has been learned is kept while its settings stay equal.

        The algorithms, one and a spare for all members and for each subset, replace the present ones if their
        description has changed, or if the present ones have failed.
        """
        self.take_up(spec.balance, balancer, spare)
        self._adopt_subsets(spec.balance, subsets or {})
        self.spec = spec
        self.overload.adopt(spec.limits, spec.breaker, spec.concurrency)
        self.queues.adopt(spec.limits)
        self.passive_health.spec = spec.outlier
        self.retry_budget.adopt(spec.retry)
        if not self.members.all:
            self.retry_budget.fill()
        self._adopt_hedger(spec)
        self._adopt_reports(spec)
        self.members.adopt(spec)
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

    def _adopt_hedger(self, spec: GroupSpec) -> None:
        hedge = spec.retry.hedge
        if hedge is None:
            self.hedger = None
        elif self.hedger is None or self.hedger.spec != hedge:
            self.hedger = Hedger(hedge, self.stats.relay_seconds.cells)

    def _adopt_reports(self, spec: GroupSpec) -> None:
        if spec.reports is None:
            self.reports = None
        elif self.reports is None or self.reports.spec != spec.reports:
            self.reports = Reports(spec.reports, self)
        for picker in self.pickers:
            if picker.balancer is not None:
                picker.balancer.prober = self.reports.prober if self.reports is not None else None

    # --- membership ---

    def set_members(self, backends: Sequence[Backend]) -> None:
        """Set the members; the algorithms rebuild."""
        self.members.replace(backends)
        self.refresh(monotonic(), True)

    def refresh(self, now: float, force: bool = False) -> None:
        """Compute anew what may be picked at time `now` (seconds, monotonic). The algorithms of pickers without a
        change rebuild only with `force`."""
        now_ns = monotonic_ns()
        self.overload.refresh(now)
        self.members.refresh(now, now_ns)
        for picker in self.pickers:
            picker.settle(self.members, now_ns, force)

    def tick(self, now: float, lag: float = 0.0) -> None:
        """Once per tick, `lag` seconds late (the event loop's delay)."""
        self.overload.tick(now, lag)
        if self.hedger is not None:
            self.hedger.tick(now)
        if self.reports is not None:
            self.reports.tick(now)
        self.queues.expire(now)
        for picker in self.pickers:
            picker.tick_balancer(now)
        self.retry_budget.tick()

    # --- load reports ---

    def heard(self, backend: Backend, report: LoadReport, now: float) -> None:
        """Store a load report from a response (`now`: seconds, monotonic). The algorithm gets it with the end of the
        request."""
        self.rows[U_REPORTS] += 1
        backend.report = report
        backend.reported_at = now

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        """Store a load report that comes without the end of a request (polled, probed, before a tunnel), and hand it to
        the algorithms."""
        self.heard(backend, report, now)
        for picker in self.pickers:
            picker.reported_to(backend, report, now)

    def explain(self) -> dict[str, Any]:
        """The state of the algorithm in words; under `subsets` those of routes with labels."""
        found = dict(self.balancer.explain())
        subsets = {str(selector): self.subsets[selector].balancer.explain() for selector in self.wanted}
        return found | {"subsets": subsets} if subsets else found
