"""Weighted round robin by load reports of backends: a weight is the requests per second for each unit of load.

    weight = rps / (utilization + eps / rps * error_utilization_penalty)

A backend that serves 100 requests per second at a load of 50 % could serve 200, so it gets twice as many as one that
serves 100 at 100 %; failures count as load. The utilization is `application_utilization` if it is reported, else
`cpu_utilization`. Weights follow once per `weight_update_period`; a backend whose first report is younger than the
blackout period, or the last one older than the expiration period, has the mean of the others; with less than two that
have a weight it is plain round robin. Configured weights are factors: twice the weight, twice the requests.

Source: gRFC A58 (client-side weighted round robin), Envoy's client_side_weighted_round_robin; defaults are theirs, and
so are the bounds of a weight to its mean (gRPC's static stride scheduler). Cost of a pick: each backend gathers its
share of the greatest weight in each turn, and gets the request once it has a whole one; so a pick takes as many steps
as the ratio of the greatest weight to the mean, independent of the number of backends.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport
from .base import Balancer, Done
from .structures.sampling import dice

NEVER = float("-inf")
LEAST, GREATEST = 0.01, 10.0
"""Bounds of a weight, as parts of the mean."""


class ReportedLoad:
    """The latest report of a backend, and the weight that follows from it."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.first = NEVER
        """Time of the first report since the last expiration (seconds)."""
        self.last = NEVER
        self.rps = self.utilization = self.eps = 0.0


class OrcaWeighted(Balancer):
    """In turn, by the reported capacity. Times in seconds."""

    name = "orca_weighted"
    wants_reports = True

    def __init__(
        self,
        blackout_period: float = 10.0,
        weight_expiration_period: float = 180.0,
        weight_update_period: float = 1.0,
        error_utilization_penalty: float = 1.0,
        seed: int | None = None,
    ) -> None:
        self.blackout = at_least("blackout_period", blackout_period, 0.0)
        self.expiration = at_least("weight_expiration_period", weight_expiration_period, 1.0)
        self.update_period = at_least("weight_update_period", weight_update_period, 0.1)
        self.penalty = at_least("error_utilization_penalty", error_utilization_penalty, 0.0)
        self.dice = dice(seed)
        self.backends: list[Backend] = []
        self.loads: list[ReportedLoad] = []
        self.gains = array("d")
        """The gain of each member in a turn: its share of the greatest weight."""
        self.gathered = array("d")
        self.at = self.size = 0
        self.now = NEVER
        self.due = NEVER
        self.even = True
        """Whether all weights are equal, since too few are known."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.loads = [backend.learned.setdefault(self.name, ReportedLoad()) for backend in self.backends]
        self.size = len(self.backends)
        # a random start: else all proxies of a fleet begin at the same backend
        self.gathered = array("d", [self.dice() for _ in self.backends])
        self.at = int(self.dice() * self.size)
        self._weigh()

    def pick(self, key: bytes | None) -> Backend | None:
        size, at = self.size, self.at
        if size == 0:
            return None
        while True:  # one of them gathers a whole in each of its turns
            at += 1
            if at >= size:
                at = 0
            have = self.gathered[at] + self.gains[at]
            if have >= 1.0:
                self.gathered[at] = have - 1.0
                self.at = at
                return self.backends[at]
            self.gathered[at] = have

    def released(self, backend: Backend, done: Done) -> None:
        if done.report is not None:
            self.reported(backend, done.report, done.now)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        utilization = report.application if report.application > 0.0 else report.cpu
        if not (utilization > 0.0 and report.rps > 0.0):
            return
        load = backend.learned.get(self.name)
        if load is None:
            load = backend.learned[self.name] = ReportedLoad()
        if load.first == NEVER or now - load.last >= self.expiration:
            load.first = now
        load.last = now
        load.rps, load.utilization = report.rps, utilization
        load.eps = report.eps if report.eps > 0.0 else 0.0
        load.weight = load.rps / (utilization + load.eps / load.rps * self.penalty)

    def tick(self, now: float) -> None:
        self.now = now
        if now >= self.due:
            self.due = now + self.update_period
            self._weigh()

    def _weigh(self) -> None:
        """Compute the gains."""
        weights = [each.weight if not self._silence(each) else 0.0 for each in self.loads]
        known = [weight for weight in weights if weight > 0.0]
        self.even = len(known) < 2
        if self.even:
            weights = [1.0] * self.size
        else:
            mean = sum(known) / len(known)
            weights = [min(GREATEST, max(LEAST, (weight or mean) / mean)) for weight in weights]
        wanted = [weight * backend.weight for weight, backend in zip(weights, self.backends, strict=True)]
        greatest = max(wanted, default=1.0)
        self.gains = array("d", [each / greatest for each in wanted])

    def _silence(self, load: ReportedLoad) -> str:
        """The reason why a report does not count now; empty if it does."""
        if load.last == NEVER:
            return "it has reported nothing"
        if self.now - load.last >= self.expiration:
            return "its last report has expired"
        if self.now - load.first < self.blackout:
            return "it has not reported for long enough"
        return ""

    def explain(self) -> dict[str, Any]:
        total = sum(self.gains) or 1.0
        return {
            "algorithm": self.name,
            "plain_round_robin": self.even,
            "backends": {
                backend.name: {
                    "share": gain / total,
                    "reported_weight": load.weight or None,
                    "requests_per_second": load.rps,
                    "utilization": load.utilization,
                    "errors_per_second": load.eps,
                    "seconds_since_report": max(0.0, self.now - load.last) if load.last > NEVER else None,
                    "not_counted_because": self._silence(load) or None,
                }
                for backend, load, gain in zip(self.backends, self.loads, self.gains, strict=True)
            },
            "picks": [],
        }


def at_least(name: str, value: float, least: float) -> float:
    """The value of a parameter. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < float("inf"):
        raise ValueError(f"{name}: must be a number of at least {least:g}, not {value!r}")
    return float(value)
