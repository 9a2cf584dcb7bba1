"""Active health checks: once per machine, off the data path; what they find is written on the scoreboard.

Law of this file: a check never takes longer than its time-out, and none waits for another backend's. A target that is
adopted again unchanged goes on with what is known of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping
from random import random, uniform
from time import monotonic, monotonic_ns
from typing import NamedTuple

import aiohttp

from ..errors import ControlError
from ..scoreboard import DOWN, HEALTH, REPORTED_STATE, REPORTED_WEIGHT, SINCE, UP, Scoreboard
from ..upstream.backend import BackendSpec
from ..upstream.health import HealthSpec, Report, Streak, parse_report
from ..upstream.spec import GroupSpec
from . import grpc_health
from .http_sessions import BackendSessions, url_of

log = logging.getLogger("qantara")

RECORDS = 10
"""Checks of each backend that are remembered."""
BODY_MAX = 65_536
"""Bytes of a body that are looked at."""
AT_ONCE = 256
"""Checks that run at the same time."""
STATE_HEADER = "X-Backend-State"


class Record(NamedTuple):
    """One check: when (seconds since 1970), how long it took (seconds), and what was wrong, "" if nothing was."""

    at: float
    seconds: float
    wrong: str


class Target:
    """One backend that is checked."""

    def __init__(self, upstream: str, backend: BackendSpec, spec: HealthSpec) -> None:
        self.upstream = upstream
        self.backend = backend
        self.spec = spec
        self.streak = Streak(spec)
        self.records: deque[Record] = deque(maxlen=RECORDS)
        self.report: Report | None = None
        self.task: asyncio.Task[None] | None = None
        self.lie: tuple[bool, float] | None = None
        """What is found whatever is so, and until when (seconds, monotonic)."""


class Monitor:
    """All checks of one proxy."""

    def __init__(self, board: Scoreboard) -> None:
        self.board = board
        self.targets: dict[tuple[str, str], Target] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sessions = BackendSessions({"User-Agent": "qantara-health-check"})

    async def adopt(self, specs: Mapping[str, GroupSpec]) -> None:
        """Check the backends of these upstreams from now on, and no others."""
        wanted = {
            (name, backend.address): (backend, spec.health)
            for name, spec in specs.items()
            for backend in spec.backends
            if spec.health is not None
        }
        for key, target in list(self.targets.items()):
            if key not in wanted or wanted[key] != (target.backend, target.spec):
                await self._drop(key, key in wanted)
        for (name, _), (backend, health) in wanted.items():
            if (name, backend.address) not in self.targets and health is not None:
                self._begin(Target(name, backend, health))

    def _begin(self, target: Target) -> None:
        self.targets[target.upstream, target.backend.address] = target
        rows = self._rows(target)
        if rows[HEALTH] in (UP, DOWN):  # known from before its settings changed
            target.streak.up = bool(rows[HEALTH] == UP)
        elif not target.spec.initial_up:
            self._write(target, HEALTH, DOWN)
        target.task = asyncio.get_running_loop().create_task(self._watch(target))

    async def _drop(self, key: tuple[str, str], changed: bool) -> None:
        target = self.targets.pop(key)
        if target.task is not None:
            target.task.cancel()
            await asyncio.gather(target.task, return_exceptions=True)
        if not changed:  # nobody looks any more: what was found last must not stand for ever
            for cell in (HEALTH, REPORTED_STATE, REPORTED_WEIGHT):
                self._write(target, cell, 0)

    async def close(self) -> None:
        """Stop checking."""
        tasks = [target.task for target in self.targets.values() if target.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sessions.close()

    # --- one target ---

    async def _watch(self, target: Target) -> None:
        spec = target.spec
        await asyncio.sleep(random() * min(spec.interval, spec.fast_interval))  # not all in the same moment
        while True:
            began = monotonic()
            wrong = await self._checked(target)
            wrong = self._lied(target, wrong)
            self._take(target, Record(time.time(), monotonic() - began, wrong))
            interval = spec.fast_interval if target.streak.open(spec) else spec.interval
            pause = interval * uniform(1 - spec.jitter, 1 + spec.jitter)
            await asyncio.sleep(max(0.0, pause - (monotonic() - began)))

    async def _checked(self, target: Target) -> str:
        """What is wrong, in words; "" if nothing is."""
        async with self._slots:
            try:
                async with asyncio.timeout(target.spec.timeout):
                    if target.spec.kind == "tcp":
                        return await self._tcp(target)
                    if target.spec.kind == "grpc":
                        return await self._grpc(target)
                    return await self._http(target)
            except TimeoutError:
                return f"timed out after {target.spec.timeout:g} s"
            except (OSError, aiohttp.ClientError) as error:
                return str(error) or type(error).__name__
            except Exception as error:  # a defect of ours must not end the checking, and is no good check
                log.exception("a defect of the proxy, while checking %s", target.backend.address)
                return repr(error)

    async def _tcp(self, target: Target) -> str:
        _, writer = await _opened(target)
        writer.close()
        return ""

    async def _grpc(self, target: Target) -> str:
        spec, backend = target.spec, target.backend
        reader, writer = await _opened(target)
        try:
            authority = "localhost" if backend.path else f"{backend.host}:{spec.port or backend.port}"
            return await grpc_health.check(reader, writer, authority, spec.service, spec.headers)
        finally:
            writer.close()

    async def _http(self, target: Target) -> str:
        spec = target.spec
        session = self._sessions.of(target.backend.path)
        async with session.request(
            spec.method, url_of(target.backend, spec.port, spec.path), headers=dict(spec.headers), allow_redirects=False
        ) as response:
            if spec.reported:
                self._take_report(target, response.headers.get(STATE_HEADER))
            if not any(low <= response.status <= high for low, high in spec.statuses):
                expected = ", ".join(f"{low}-{high}" if low != high else str(low) for low, high in spec.statuses)
                return f"status {response.status}, expected {expected}"
            if spec.body is not None and not spec.body.search((await begin_of(response)).decode(errors="replace")):
                return f"the body does not match {spec.body.pattern!r}"
            return ""

    # --- what it means ---

    def lie(self, upstream: str, address: str, healthy: bool | None, until: float) -> None:
        """Find this of a backend, whatever checks find, until that time (monotonic); None for what they find.

        Raises ControlError if the upstream has no active checks.
        """
        target = self.targets.get((upstream, address))
        if target is None:
            raise ControlError(f"upstream {upstream} has no active health checks of {address} that could lie")
        target.lie = (healthy, until) if healthy is not None else None

    def _lied(self, target: Target, wrong: str) -> str:
        if target.lie is None or monotonic() > target.lie[1]:
            return wrong
        return "" if target.lie[0] else "a chaos experiment says so"

    def _take(self, target: Target, record: Record) -> None:
        target.records.append(record)
        changed = target.streak.add(target.spec, not record.wrong)
        up = target.streak.up
        rows = self._rows(target)
        if changed or rows[HEALTH] != (UP if up else DOWN):
            if up and rows[HEALTH] == DOWN:
                rows[SINCE] = monotonic_ns()
            self._write(target, HEALTH, UP if up else DOWN)
        if changed:
            why = f"{target.streak.bad} bad checks: {record.wrong}" if record.wrong else "checks are good again"
            state = "up" if up else "down"
            log.warning("upstream %s: backend %s is %s, %s", target.upstream, target.backend.address, state, why)

    def _take_report(self, target: Target, text: str | None) -> None:
        report = parse_report(text) if text is not None else None
        if report == target.report:
            return
        target.report = report
        self._write(target, REPORTED_STATE, report.state if report is not None else 0)
        percent = report.percent if report is not None else None
        self._write(target, REPORTED_WEIGHT, percent + 1 if percent is not None else 0)
        log.info("upstream %s: backend %s says of itself: %s", target.upstream, target.backend.address, text)

    def _rows(self, target: Target) -> memoryview:
        return self.board.backend_rows(target.upstream, target.backend.address)

    def _write(self, target: Target, cell: int, value: int) -> None:
        self._rows(target)[cell] = value
        self.board.changed(0)


async def _opened(target: Target) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
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
