"""Load reports beside those of responses: polled or probed from a load endpoint; and the expiry of all.

Law of this file: the supervisor polls (control/load_polling.py) and writes the result on the scoreboard, in its own row
of the backend; each worker reads it once per tick. A report is handed to the algorithms once, and never when older than
`max_age`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isnan
from typing import Any, NamedTuple

from ...metrics import U_REPORTS_STALE
from ...scoreboard import REPORT, REPORT_AT
from .prober import Prober, ProbeSpec
from .report import LoadReport

SCALES = (
    ("cpu", 1e6),
    ("memory", 1e6),
    ("application", 1e6),
    ("latency", 1e6),
    ("rps", 1e3),
    ("eps", 1e3),
    ("in_flight", 1e3),
)
"""The fields of a report on the scoreboard, two to a cell, with their fixed-point scale: 1e6 for millionths."""
HALF = 31
MOST = (1 << HALF) - 2


class PollSpec(NamedTuple):
    """The polling of a load endpoint. Times in seconds."""

    path: str = "/load"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    port: int = 0
    """Another port than that of the backend; 0 for the same."""
    interval: float = 1.0
    timeout: float = 0.5


class ReportSpec(NamedTuple):
    """The sources of load reports of an upstream."""

    headers: tuple[bytes, ...] = ()
    """Names, in lower case, of the response headers with reports."""
    strip: bool = True
    """Whether these headers are removed from responses."""
    max_age: float = 10.0
    """Seconds after which a report has expired."""
    poll: PollSpec | None = None
    probe: ProbeSpec | None = None


class Reports:
    """The load reports of one upstream in one worker."""

    def __init__(self, spec: ReportSpec, group: Any) -> None:
        self.spec = spec
        self.group = group
        self.seen: dict[str, int] = {}
        """The time (ns) of the last report read, by backend."""
        self.due = 0.0
        self.prober = Prober(group, spec.probe) if spec.probe is not None else None

    def tick(self, now: float) -> None:
        """Read polled reports; once per second, drop expired ones."""
        if self.spec.poll is not None:
            self._pick_up(now)
        if now >= self.due:
            self.due = now + 1.0
            for backend in self.group.members.all:
                if backend.report is not None and now - backend.reported_at > self.spec.max_age:
                    backend.report = None
                    self.group.stats.count(U_REPORTS_STALE)

    def _pick_up(self, now: float) -> None:
        for backend in self.group.members.all:
            at = backend.rows[REPORT_AT]
            if at == self.seen.get(backend.name, 0):
                continue
            report = read(backend.rows)
            if report is None:  # it is being written, or was erased
                continue
            self.seen[backend.name] = at
            if now - at / 1e9 <= self.spec.max_age:
                self.group.reported(backend, report, now)


def last_reports(groups: Iterable[Any], now: float) -> dict[tuple[str, str], dict[str, Any]]:
    """The last report of each backend that has not expired, by upstream and address: its fields, and `seconds`, its
    age."""
    return {
        (group.name, backend.name): {**said(backend.report), "seconds": now - backend.reported_at}
        for group in groups
        for backend in group.members.all
        if backend.report is not None
    }


def said(report: LoadReport) -> dict[str, Any]:
    """The fields of a report that have a value."""
    names = ("cpu", "memory", "application", "rps", "eps", "in_flight", "latency", "cost")
    found = {name: value for name in names if not isnan(value := getattr(report, name))}
    return {**found, "named": dict(report.named)} if report.named else found


def write(rows: Any, report: LoadReport, at_ns: int) -> None:
    """Write a report on the scoreboard, in the supervisor's row. Only one process may."""
    rows[REPORT_AT] = 0  # marks the report incomplete for concurrent readers
    numbers = [_whole(getattr(report, name), scale) for name, scale in SCALES] + [0]
    for cell, low, high in zip(REPORT, numbers[::2], numbers[1::2], strict=True):
        rows[cell] = high << HALF | low
    rows[REPORT_AT] = at_ns


def erase(rows: Any) -> None:
    """Erase the report on the scoreboard."""
    rows[REPORT_AT] = 0


def read(rows: Any) -> LoadReport | None:
    """The report on the scoreboard; None without one, or while it is being written."""
    at = rows[REPORT_AT]
    cells: Sequence[int] = [rows[cell] for cell in REPORT]
    if not at or rows[REPORT_AT] != at:
        return None
    numbers = [half for cell in cells for half in (cell & (1 << HALF) - 1, cell >> HALF)]
    report = LoadReport()
    for (name, scale), number in zip(SCALES, numbers, strict=False):
        if number:
            setattr(report, name, (number - 1) / scale)
    return report


def _whole(value: float, scale: float) -> int:
    """A number as it is in a cell: one more than it is, so that 0 is none."""
    return 0 if isnan(value) else 1 + min(MOST - 1, round(value * scale))
