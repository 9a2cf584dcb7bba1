"""Prequal: probe a few backends with each request, and pick among those with a recent answer.

The answer to a probe has the current requests in flight and latency. A backend with more in flight than the quantile
`q_rif` of all is hot: of the cold ones the least latency wins; if all are hot, the fewest in flight. Made for fleets of
proxies, where each has only its own part of the load. Without answers the pick is random.
Source: Wydrowski, Kleinberg, Rumble and Archer, "Load is not what you should balance: Introducing Prequal", NSDI 2024
(asynchronous mode). A pick looks at the `pool` probes at most, however many backends there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport
from .base import Balancer, Done
from .structures.probe_pool import PooledProbe, ProbePool, ProbeSchedule
from .structures.sampling import Urn, dice

SEEN = 128
"""The window of the quantile, in reports."""
HIGHEST = 1024
"""Requests in flight above this count as this."""
LOOSENING = 1.0
"""The paper's delta: the surplus of reuse over what the arrival of probes needs."""
REMOVED = 1.0
"""Probes that are removed with each request beside those that are used up."""


class Prequal(Balancer):
    """The best of the backends with a recent answer to a probe."""

    name = "prequal"
    wants_reports = True

    def __init__(
        self, probes: float = 3.0, pool: int = 16, max_age: float = 1.0, q_rif: float = 0.84, seed: int | None = None
    ) -> None:
        if probes < 0:
            raise ValueError(f"probes: must be 0 or more per request, not {probes}")
        if pool < 2:
            raise ValueError(f"pool: must be at least 2 probes, not {pool}")
        if max_age <= 0:
            raise ValueError(f"max_age: must be more than 0 seconds, not {max_age}")
        if not 0 <= q_rif <= 1:
            raise ValueError(f"q_rif: must be a quantile between 0 and 1, not {q_rif}")
        self.q_rif = q_rif
        self.dice = dice(seed)
        self.urn = Urn(self.dice)
        self.backends: set[Backend] = set()
        self.pool = ProbePool(pool, max_age)
        self.asking = ProbeSchedule(probes, self.urn, self.dice)
        self.prober: Callable[[Backend], None] | None = None
        """Requests a report of a backend, which arrives in `reported`; without one reports come in responses only."""
        self.reuse = 1.0
        self.turn = False
        self.now = 0.0
        self.seen = [0] * SEEN
        """The latest reported requests in flight, and in `often` the frequency of each number among them."""
        self.often = [0] * (HIGHEST + 1)
        self.reports = 0
        self.hot_above = 0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.urn.fill(usable)
        self.backends = set(self.urn.members)
        self.pool.keep_only(self.urn.members)
        # The reuse budget of the paper; where it has no solution, since the pool holds nearly all members, a constant.
        spare = (1.0 - self.pool.size / max(1, self.urn.size)) * self.asking.rate - REMOVED
        self.reuse = min(max(1.0, (1.0 + LOOSENING) / spare), 3.0) if spare > 0 else 3.0

    def pick(self, key: bytes | None) -> Backend | None:
        urn, pool = self.urn, self.pool
        if urn.size < 2:
            return urn.members[0] if urn.size else None
        pool.expire(self.now)
        if pool.count < 2:
            return urn.members[urn.draw()]
        at = self.best()
        probe: PooledProbe = pool.probes[at]
        backend = probe.backend
        pool.used(at, self.dice() < probe.uses - 1.0)
        self.tidy()
        return backend

    def best(self) -> int:
        """The place of the best probe: the least latency among the cold ones, or else the fewest in flight."""
        best, least, cold = 0, 0.0, False
        at = 0
        while at < self.pool.count:
            probe: PooledProbe = self.pool.probes[at]
            is_cold = probe.in_flight <= self.hot_above
            value = probe.latency if is_cold else probe.in_flight
            if at == 0 or (is_cold and not cold) or (is_cold == cold and value < least):
                best, least, cold = at, value, is_cold
            at += 1
        return best

    def worst(self) -> int:
        """The place of the worst: the most in flight among the hot ones, or else the highest latency. -1: none."""
        worst, most, hot = -1, 0.0, False
        at = 0
        while at < self.pool.count:
            probe: PooledProbe = self.pool.probes[at]
            is_hot = probe.in_flight > self.hot_above
            value = probe.in_flight if is_hot else probe.latency
            if worst < 0 or (is_hot and not hot) or (is_hot == hot and value > most):
                worst, most, hot = at, value, is_hot
            at += 1
        return worst

    def tidy(self) -> None:
        """Remove one probe per request, the oldest and the worst in turns: else the bad ones would accumulate."""
        self.turn = not self.turn
        at = self.pool.oldest() if self.turn else self.worst()
        if at >= 0:
            self.pool.remove(at)

    def assigned(self, backend: Backend) -> None:
        if self.prober is not None:
            self.asking.ask(self.prober)

    def released(self, backend: Backend, done: Done) -> None:
        self.now = done.now
        if done.report is not None:
            self.take(backend, done.report, done.now)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.now = now
        self.take(backend, report, now)

    def take(self, backend: Backend, report: LoadReport, now: float) -> None:
        """Put a report into the pool, if it has the requests in flight."""
        in_flight = report.in_flight
        if not 0.0 <= in_flight < 1e9 or backend not in self.backends:  # NAN is neither
            return
        latency = report.latency if report.latency >= 0.0 else 0.0
        self.pool.put(backend, None, in_flight, latency, now, self.reuse)
        many = int(in_flight)
        self.count(many if many < HIGHEST else HIGHEST)

    def count(self, in_flight: int) -> None:
        """Add reported requests in flight to the window; with every 16th report the quantile is computed."""
        at = self.reports % SEEN
        if self.reports >= SEEN:
            self.often[self.seen[at]] -= 1
        self.seen[at] = in_flight
        self.often[in_flight] += 1
        self.reports += 1
        if self.reports % 16 == 0:
            left = int(self.q_rif * min(self.reports, SEEN))
            self.hot_above = 0
            while left >= self.often[self.hot_above] and self.hot_above < HIGHEST:
                left -= self.often[self.hot_above]
                self.hot_above += 1

    def tick(self, now: float) -> None:
        self.now = now
        if self.prober is not None and self.pool.count < 2 and self.urn.size:
            self.asking.ask(self.prober)

    def explain(self) -> dict[str, Any]:
        backends = {
            probe.backend.name: {
                "in_flight": probe.in_flight,
                "latency": probe.latency,
                "age": self.now - probe.when,
                "hot": probe.in_flight > self.hot_above,
            }
            for probe in self.pool.probes[: self.pool.count]
            if probe.backend is not None
        }
        return {"backends": backends, "hot_above": self.hot_above, "reuse": self.reuse, "picks": []}
