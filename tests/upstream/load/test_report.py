"""What was not said is no number."""

from __future__ import annotations

from math import isnan

from proxy.upstream.load.report import LoadReport


def test_what_was_not_said_is_not_zero() -> None:
    report = LoadReport(cpu=0.5)
    assert report.cpu == 0.5
    unsaid = (report.memory, report.application, report.rps, report.eps, report.cost, report.in_flight)
    assert all(isnan(each) for each in unsaid)
    assert report.named is None
