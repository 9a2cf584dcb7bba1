"""Polling of load endpoints: once per machine, off the data path; the reports are written on the scoreboard.

Law of this file: a malformed response changes nothing: the last valid report stays until it expires in the workers
(upstream/load/sources.py). The schedule of polls is in backend_tasks.py.
"""

from __future__ import annotations

import logging
from time import monotonic_ns
from typing import TYPE_CHECKING

from ..scoreboard import Scoreboard
from ..upstream.backend import BackendSpec
from ..upstream.load.orca import SIZE_MAX, parse_binary, parse_body, parse_header
from ..upstream.load.report import LoadReport
from ..upstream.load.sources import PollSpec, erase, write
from ..upstream.spec import GroupSpec
from .backend_tasks import BackendTask, BackendTasks

if TYPE_CHECKING:
    import aiohttp

log = logging.getLogger("qantara")

JITTER = 0.2
"""The share by which each interval may be shorter or longer, so that polls do not fall into step."""


class PolledBackend(BackendTask[PollSpec]):
    """One backend that is polled."""

    def __init__(self, upstream: str, backend: BackendSpec, spec: PollSpec) -> None:
        super().__init__(upstream, backend, spec)
        self.wrong = ""
        """What was wrong with the last poll, in words; empty if nothing was."""


class LoadPolling(BackendTasks[PollSpec, PolledBackend]):
    """All polls of one proxy."""

    action = "polling"

    def __init__(self, board: Scoreboard) -> None:
        super().__init__(board, {"User-Agent": "qantara-load-poll", "Accept": "application/json, text/plain"})

    def spec_of(self, group: GroupSpec) -> PollSpec | None:
        return group.reports.poll if group.reports is not None else None

    def target(self, upstream: str, backend: BackendSpec, spec: PollSpec) -> PolledBackend:
        return PolledBackend(upstream, backend, spec)

    def forget(self, upstream: str, address: str) -> None:
        erase(self.board.backend_rows(upstream, address))

    def first_within(self, spec: PollSpec) -> float:
        return spec.interval

    def timeout(self, spec: PollSpec) -> float:
        return spec.timeout

    def pause(self, target: PolledBackend) -> tuple[float, float]:
        return target.spec.interval, JITTER

    async def ask(self, target: PolledBackend) -> str:
        spec = target.spec
        async with self.sessions.request(target.backend, spec.method, spec.port, spec.path, spec.headers) as response:
            if response.status != 200:
                return f"status {response.status}, expected 200"
            report = await _report(response)
            if report is None:
                return "the answer is no load report"
            write(self.rows(target), report, monotonic_ns())
            return ""

    def judge(self, target: PolledBackend, wrong: str, seconds: float) -> None:
        """Log the first failure and the first success, not each time."""
        if bool(wrong) != bool(target.wrong):
            told = f"cannot be polled for its load: {wrong}" if wrong else "can be polled for its load again"
            log.warning("upstream %s: backend %s %s", target.upstream, target.backend.address, told)
        target.wrong = wrong


async def _report(response: aiohttp.ClientResponse) -> LoadReport | None:
    """From the headers, if it is there, else from the body."""
    if (value := response.headers.get("endpoint-load-metrics-bin")) is not None:
        return parse_binary(value.encode("latin-1", "replace"))
    if (value := response.headers.get("endpoint-load-metrics")) is not None:
        return parse_header(value.encode("latin-1", "replace"))
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > SIZE_MAX:
            return None
    return parse_body(body)
