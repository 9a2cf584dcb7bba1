"""Passive health by shares: which backends did so badly in the last interval, over all workers, that they are ejected.

Law of this file: it judges by differences of the scoreboard's counters and writes in the supervisor's row. What a
worker can see by itself, failures in a row, is in upstream/passive_health.py; the rules that bound ejections are in
upstream/outlier.py.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from math import fsum, sqrt
from time import monotonic_ns
from typing import NamedTuple

from ..scoreboard import EJECTED_FOR, EJECTED_UNTIL, EJECTIONS, FAILURES, REQUESTS, ROW, SERVER_ERRORS, Scoreboard
from ..upstream.backend import Backend, BackendSpec
from ..upstream.outlier import FAILURE_PERCENTAGE, SUCCESS_RATE, OutlierSpec, ejection_seconds, may_eject
from ..upstream.spec import GroupSpec

log = logging.getLogger("qantara")

SUPERVISOR = 0


class Share(NamedTuple):
    """What a backend did in an interval."""

    address: str
    requests: int
    failures: int

    @property
    def success(self) -> float:
        return 1.0 - self.failures / self.requests


def outliers(spec: OutlierSpec, shares: list[Share]) -> list[tuple[str, int]]:
    """The addresses to eject, the worst first, and the cause of each."""
    found: dict[str, tuple[float, int]] = {}
    enough = [share for share in shares if share.requests >= spec.failure_requests > 0]
    if spec.failure_percentage and len(enough) >= spec.failure_hosts:
        for share in enough:
            if 1.0 - share.success >= spec.failure_percentage:
                found[share.address] = (share.success, FAILURE_PERCENTAGE)
    enough = [share for share in shares if share.requests >= spec.success_requests > 0]
    if spec.success_rate_factor and len(enough) >= spec.success_hosts:
        rates = [share.success for share in enough]
        mean = fsum(rates) / len(rates)
        deviation = sqrt(fsum((rate - mean) ** 2 for rate in rates) / len(rates))
        least = mean - spec.success_rate_factor * deviation
        for share in enough:
            if share.success < least:
                found.setdefault(share.address, (share.success, SUCCESS_RATE))
    return [(address, cause) for address, (_, cause) in sorted(found.items(), key=lambda item: item[1])]


class OutlierDetection:
    """Looks at every upstream once per its interval."""

    def __init__(self, board: Scoreboard) -> None:
        self.board = board
        self.before: dict[str, tuple[int, int]] = {}
        self.due: dict[str, float] = {}
        self.times: dict[str, float] = {}
        """Ejections that a backend has not been forgiven yet."""

    def sweep(self, specs: Mapping[str, GroupSpec], now: float) -> None:
        """Judge the upstreams whose interval is over at time `now` (seconds, monotonic)."""
        for name, spec in specs.items():
            if spec.outlier is None or now < self.due.get(name, 0.0):
                continue
            first = name not in self.due
            self.due[name] = now + spec.outlier.interval
            shares = [self._share(name, backend) for backend in spec.backends]
            if not first:  # the counters of a board that was taken over are no interval
                self._judge(spec, spec.outlier, shares)

    def _share(self, upstream: str, backend: BackendSpec) -> Share:
        rows = self.board.backend_rows(upstream, backend.address)
        now = sum(rows[REQUESTS + ROW :: ROW]), sum(rows[SERVER_ERRORS + ROW :: ROW]) + sum(rows[FAILURES + ROW :: ROW])
        key = f"{upstream}\n{backend.address}"
        before = self.before.get(key, now)
        self.before[key] = now
        requests = now[0] - before[0]
        return Share(backend.address, requests, min(now[1] - before[1], requests))

    def _judge(self, spec: GroupSpec, outlier: OutlierSpec, shares: list[Share]) -> None:
        bad = outliers(outlier, shares)
        board = self.board
        members = [Backend(each, board.backend_rows(spec.name, each.address), board) for each in spec.backends]
        rotating = [member for member in members if member.in_rotation()]
        for member in members:
            key = f"{spec.name}\n{member.name}"
            if member.name not in dict(bad):
                self.times[key] = max(0.0, self.times.get(key, 0.0) - outlier.interval / outlier.base_ejection)
        by_name = {member.name: member for member in rotating}
        for address, cause in bad:
            now_ns = monotonic_ns()
            ejected = sum(member.ejected_until() > now_ns for member in rotating)
            available = sum(member.healthy_at(now_ns) for member in rotating)
            found = by_name.get(address)
            if found is None or not found.healthy_at(now_ns):
                continue
            if may_eject(outlier, len(rotating), available, ejected, spec.panic):
                self._eject(outlier, spec.name, found, cause)

    def _eject(self, outlier: OutlierSpec, upstream: str, member: Backend, cause: int) -> None:
        key = f"{upstream}\n{member.name}"
        seconds = ejection_seconds(outlier, cause, self.times.get(key, 0.0))
        self.times[key] = self.times.get(key, 0.0) + 1.0
        row = SUPERVISOR * ROW
        member.rows[row + EJECTED_UNTIL] = monotonic_ns() + int(seconds * 1e9)
        member.rows[row + EJECTED_FOR] = cause
        member.rows[row + EJECTIONS] += 1
        self.board.changed(SUPERVISOR)
        told = "upstream %s: backend %s is ejected for %.0f s by its share of failures"
        log.warning(told, upstream, member.name, seconds)
