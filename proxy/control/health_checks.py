"""Active health checks: once per machine, off the data path; what they find is written on the scoreboard.

Law of this file: a check judges one backend by the answer to one request or connection. When checks run is in
backend_tasks.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from time import monotonic, monotonic_ns
from typing import TYPE_CHECKING, NamedTuple

from ..errors import ControlError
from ..scoreboard import DOWN, HEALTH, REPORTED_STATE, REPORTED_WEIGHT, SINCE, UP, Scoreboard
from ..upstream.backend import BackendSpec
from ..upstream.health import HealthSpec, Report, Streak, parse_report
from ..upstream.spec import GroupSpec
from .backend_tasks import BackendTask, BackendTasks

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("qantara")

RECORDS = 10
"""Checks of each backend that are remembered."""
BODY_MAX = 65_536
"""Bytes of a body that are looked at."""
STATE_HEADER = "X-Backend-State"


class CheckRecord(NamedTuple):
    """One check: when (seconds since 1970), how long it took (seconds), and what was wrong, "" if nothing was."""

    at: float
    seconds: float
    wrong: str


class CheckedBackend(BackendTask[HealthSpec]):
    """One backend that is checked."""

    def __init__(self, upstream: str, backend: BackendSpec, spec: HealthSpec) -> None:
        super().__init__(upstream, backend, spec)
        self.streak = Streak(spec)
        self.records: deque[CheckRecord] = deque(maxlen=RECORDS)
        self.report: Report | None = None
        self.lie: tuple[bool, float] | None = None
        """The result that a chaos experiment sets in place of the real one, and until when (seconds, monotonic)."""


class HealthChecks(BackendTasks[HealthSpec, CheckedBackend]):
    """All checks of one proxy."""

    action = "checking"

    def __init__(self, board: Scoreboard) -> None:
        super().__init__(board, {"User-Agent": "qantara-health-check"})

    def spec_of(self, group: GroupSpec) -> HealthSpec | None:
        return group.health

    def target(self, upstream: str, backend: BackendSpec, spec: HealthSpec) -> CheckedBackend:
        target = CheckedBackend(upstream, backend, spec)
        health = self.rows(target)[HEALTH]
        if health in (UP, DOWN):  # known from before its settings changed
            target.streak.up = health == UP
        elif not spec.initial_up:
            self._write(target, HEALTH, DOWN)
        return target

    def forget(self, upstream: str, address: str) -> None:
        rows = self.board.backend_rows(upstream, address)
        for cell in (HEALTH, REPORTED_STATE, REPORTED_WEIGHT):
            rows[cell] = 0
        self.board.changed(0)

    def first_within(self, spec: HealthSpec) -> float:
        return min(spec.interval, spec.fast_interval)

    def timeout(self, spec: HealthSpec) -> float:
        return spec.timeout

    def pause(self, target: CheckedBackend) -> tuple[float, float]:
        spec = target.spec
        return spec.fast_interval if target.streak.open(spec) else spec.interval, spec.jitter

    async def ask(self, target: CheckedBackend) -> str:
        if target.spec.kind == "tcp":
            return await self._tcp(target)
        if target.spec.kind == "grpc":
            return await self._grpc(target)
        return await self._http(target)

    async def _tcp(self, target: CheckedBackend) -> str:
        _, writer = await _opened(target)
        writer.close()
        return ""

    async def _grpc(self, target: CheckedBackend) -> str:
        from . import grpc_health  # with h2: for those that need it

        spec, backend = target.spec, target.backend
        reader, writer = await _opened(target)
        try:
            authority = "localhost" if backend.path else f"{backend.host}:{spec.port or backend.port}"
            return await grpc_health.check(reader, writer, authority, spec.service, spec.headers)
        finally:
            writer.close()

    async def _http(self, target: CheckedBackend) -> str:
        spec = target.spec
        async with self.sessions.request(target.backend, spec.method, spec.port, spec.path, spec.headers) as response:
            if spec.reported:
                self._take_report(target, response.headers.get(STATE_HEADER))
            if not any(low <= response.status <= high for low, high in spec.statuses):
                expected = ", ".join(f"{low}-{high}" if low != high else str(low) for low, high in spec.statuses)
                return f"status {response.status}, expected {expected}"
            if spec.body is not None and not spec.body.search((await begin_of(response)).decode(errors="replace")):
                return f"the body does not match {spec.body.pattern!r}"
            return ""

    # --- results ---

    def lie(self, upstream: str, address: str, healthy: bool | None, until: float) -> None:
        """Set the result of a backend's checks until that time (monotonic); None for what they find.

        Raises ControlError if the upstream has no active checks.
        """
        target = self.targets.get((upstream, address))
        if target is None:
            raise ControlError(f"upstream {upstream} has no active health checks of {address} that could lie")
        target.lie = (healthy, until) if healthy is not None else None

    def judge(self, target: CheckedBackend, wrong: str, seconds: float) -> None:
        if target.lie is not None and monotonic() <= target.lie[1]:
            wrong = "" if target.lie[0] else "a chaos experiment says so"
        target.records.append(CheckRecord(time.time(), seconds, wrong))
        changed = target.streak.add(target.spec, not wrong)
        up = target.streak.up
        rows = self.rows(target)
        if changed or rows[HEALTH] != (UP if up else DOWN):
            if up and rows[HEALTH] == DOWN:
                rows[SINCE] = monotonic_ns()
            self._write(target, HEALTH, UP if up else DOWN)
        if changed:
            why = f"{target.streak.bad} bad checks: {wrong}" if wrong else "checks are good again"
            state = "up" if up else "down"
            log.warning("upstream %s: backend %s is %s, %s", target.upstream, target.backend.address, state, why)

    def _take_report(self, target: CheckedBackend, text: str | None) -> None:
        report = parse_report(text) if text is not None else None
        if report == target.report:
            return
        target.report = report
        self._write(target, REPORTED_STATE, report.state if report is not None else 0)
        percent = report.percent if report is not None else None
        self._write(target, REPORTED_WEIGHT, percent + 1 if percent is not None else 0)
        log.info("upstream %s: backend %s says of itself: %s", target.upstream, target.backend.address, text)

    def _write(self, target: CheckedBackend, cell: int, value: int) -> None:
        self.rows(target)[cell] = value
        self.board.changed(0)


async def _opened(target: CheckedBackend) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    backend = target.backend
    if backend.path:
        return await asyncio.open_unix_connection(backend.path)
    return await asyncio.open_connection(backend.host, target.spec.port or backend.port)


async def begin_of(response: aiohttp.ClientResponse) -> bytes:
    """The first BODY_MAX bytes of a body, in however many pieces they come."""
    body = b""
    while len(body) < BODY_MAX and (piece := await response.content.read(BODY_MAX - len(body))):
        body += piece
    return body
