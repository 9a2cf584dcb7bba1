"""Load reports in response heads, read on the way back.

The balancer receives a report once, at the end of the request (`Done.report`); that of a tunnel at once.

Law of this file: a malformed report never affects its response. The headers are removed for clients by `response_edits`
(configuration/compile.py). Only heads are read: a report in trailers is passed on unread. Linked after hedging, it sees
only the winning response; its attempt is `x.attempt`.
"""

from __future__ import annotations

from time import monotonic

from ...exchange import Exchange, ResponseStage
from ...http1.codec import ResponseHead
from ...metrics import U_REPORTS_REFUSED
from ...plan import LinkContext, RouteSpec
from ...upstream.load.orca import parse_binary, parse_header, parse_server_timing
from ...upstream.load.report import NAN, LoadReport

METRICS, METRICS_BINARY, SERVER_TIMING = b"endpoint-load-metrics", b"endpoint-load-metrics-bin", b"server-timing"


class ReadReports(ResponseStage):
    """Reads the report in the fields with these names, in lower case."""

    def __init__(self, names: tuple[bytes, ...], following: ResponseStage) -> None:
        super().__init__(following)
        self.metrics = METRICS in names
        self.binary = METRICS_BINARY in names
        self.timing = SERVER_TIMING in names

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        attempt, group = x.attempt, x.group
        report = self.read(x, head)
        if report is not None and attempt.backend is not None and group is not None:
            if report.in_flight >= 1.0:  # includes this request, which is over when the report is used
                report.in_flight -= 1.0
            attempt.report = report
            group.heard(attempt.backend, report, monotonic())
        self.next.head(x, head, body_end, complete)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        report = self.read(x, head)
        if report is not None and x.attempt.backend is not None and x.group is not None:
            x.group.reported(x.attempt.backend, report, monotonic())
        self.next.switched(x, head)

    def read(self, x: Exchange, head: ResponseHead) -> LoadReport | None:
        """The load report in this response, None without one."""
        value = head.get(METRICS_BINARY) if self.binary else None
        report: LoadReport | None = None
        if value is not None:
            report = parse_binary(value)
        else:
            value = head.get(METRICS) if self.metrics else None
            if value is not None:
                report = parse_header(value)
        if value is not None and report is None:
            assert x.group is not None
            x.group.stats.count(U_REPORTS_REFUSED)
        if self.timing and (report is None or report.cost != report.cost):
            report = with_cost(report, head)
        return report


def with_cost(report: LoadReport | None, head: ResponseHead) -> LoadReport | None:
    """The report with the cost in Server-Timing; without a report, a new one with only the cost."""
    if head.get(SERVER_TIMING) is None:
        return report
    cost = NAN
    for value in head.get_all(SERVER_TIMING):
        cost = parse_server_timing(value)
        if cost == cost:
            break
    if cost != cost:
        return report
    if report is None:
        report = LoadReport()
    report.cost = cost
    return report


def link_reports(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """On the way back of routes to an upstream with reports in response headers."""
    reports = spec.group.reports if spec.group is not None else None
    return ReadReports(reports.headers, following) if reports is not None and reports.headers else following
