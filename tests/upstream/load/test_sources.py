"""Reports on the scoreboard: what is written can be read, is handed on once, and grows old."""

from __future__ import annotations

from math import isnan
from time import monotonic, monotonic_ns
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metrics import U_REPORTS, U_REPORTS_STALE
from proxy.scoreboard import EJECTED_FOR, REPORT, REPORT_AT, ROW, SINCE, alone
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport
from proxy.upstream.load.sources import SCALES, PollSpec, Reports, ReportSpec, erase, read, write
from proxy.upstream.members import Members
from proxy.upstream.stats import UpstreamStats
from tests.balancing.members import backends


class Heard:
    """As much of a group as is needed."""

    def __init__(self, *members: Backend) -> None:
        board = alone()
        self.members = Members()
        self.members.replace(members)
        self.stats = UpstreamStats(board, board.upstream_rows("app"))
        self.reports: list[tuple[str, LoadReport, float]] = []

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        backend.report, backend.reported_at = report, now
        self.reports.append((backend.name, report, now))


numbers = st.none() | st.floats(0, 1000)


@given(st.fixed_dictionaries({name: numbers for name, _ in SCALES}))
def test_what_is_written_can_be_read(said: dict[str, float | None]) -> None:
    rows, report = [0] * ROW, LoadReport()
    for name, value in said.items():
        if value is not None:
            setattr(report, name, value)
    write(rows, report, 5)
    found = read(rows)
    assert found is not None
    for name, scale in SCALES:
        value = said[name]
        if value is None:
            assert isnan(getattr(found, name))
        else:
            assert getattr(found, name) == pytest.approx(value, abs=1 / scale)


def test_what_is_too_much_is_cut() -> None:
    rows = [0] * ROW
    write(rows, LoadReport(cpu=1e200, rps=1e200, in_flight=1e200), 5)
    found = read(rows)
    assert found is not None
    assert found.cpu > 2000
    assert found.rps > 2e6
    assert all(0 <= cell < 1 << 63 for cell in rows)


def test_it_has_cells_of_its_own() -> None:
    assert {REPORT_AT, *REPORT}.isdisjoint({*range(SINCE + 1), *range(11, EJECTED_FOR + 1)})
    assert max(REPORT_AT, *REPORT) < ROW


def test_what_changes_while_it_is_read_is_not_read() -> None:
    class Torn(list[int]):
        def __getitem__(self, at: Any) -> Any:
            if at == REPORT[1]:
                self[REPORT_AT] += 1
            return super().__getitem__(at)

    rows = Torn([0] * ROW)
    write(rows, LoadReport(cpu=1.0), 5)
    assert read(rows) is None
    erase(rows)
    assert list.__getitem__(rows, REPORT_AT) == 0
    assert read([0] * ROW) is None


def test_what_was_polled_is_handed_on_once() -> None:
    first, second = members = backends(1, 1)
    group = Heard(*members)
    reports = Reports(ReportSpec(poll=PollSpec()), group)
    now = monotonic()
    reports.tick(now)
    assert group.reports == []
    write(first.rows, LoadReport(cpu=0.5), monotonic_ns())
    reports.tick(now)
    reports.tick(now + 0.1)
    write(second.rows, LoadReport(cpu=0.25), monotonic_ns())
    reports.tick(now + 0.2)
    assert [(name, report.cpu, at) for name, report, at in group.reports] == [
        ("a", 0.5, now),
        ("b", 0.25, now + 0.2),
    ]


def test_what_is_too_old_is_not_handed_on() -> None:
    (only,) = members = backends(1)
    group = Heard(*members)
    write(only.rows, LoadReport(cpu=0.5), monotonic_ns() - 11 * 10**9)
    Reports(ReportSpec(poll=PollSpec()), group).tick(monotonic())
    assert group.reports == []


def test_what_nobody_polls_is_not_looked_at() -> None:
    (only,) = members = backends(1)
    group = Heard(*members)
    write(only.rows, LoadReport(cpu=0.5), monotonic_ns())
    Reports(ReportSpec(), group).tick(monotonic())
    assert group.reports == []


def test_a_report_grows_old_once() -> None:
    (only,) = members = backends(1)
    group = Heard(*members)
    reports = Reports(ReportSpec(max_age=5.0), group)
    group.reported(only, LoadReport(cpu=0.5), 100.0)
    reports.tick(104.9)
    assert only.report is not None
    reports.tick(105.5)
    assert only.report is not None, "it looks once per second"
    reports.tick(106.0)
    reports.tick(107.1)
    assert only.report is None
    assert (group.stats.rows[U_REPORTS_STALE], group.stats.rows[U_REPORTS]) == (1, 0)
