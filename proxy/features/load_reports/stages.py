"""relay, with an ear for load: what a backend says of its load in the head of a response is read.

The algorithm gets it once, with the end of the request (`Done.report`); of a tunnel at once, since that may last.

Law of this file: a response goes on whatever is wrong with the report in it. The headers are removed for clients by
`response_edits` (configuration/compile.py). Only heads are read: a report in trailers is passed on unread.
Standing inside of hedging, it sees only the response that counts, after the exchange has gone over to its backend.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ...errors import Reason
from ...exchange import Exchange, ReturnStage
from ...http1.codec import ResponseHead
from ...metrics import U_REPORTS_REFUSED
from ...upstream.connection import UpstreamConnection
from ...upstream.group import Group
from ...upstream.load.orca import parse_binary, parse_header, parse_server_timing
from ...upstream.load.report import NAN, LoadReport

METRICS, METRICS_BINARY, SERVER_TIMING = b"endpoint-load-metrics", b"endpoint-load-metrics-bin", b"server-timing"


class ReportedRelay(ReturnStage):
    """As `following`, and reads the headers with these names."""

    def __init__(self, group: Group, names: tuple[bytes, ...], following: ReturnStage) -> None:
        self.group = group
        self.following = following
        self.metrics = METRICS in names
        self.binary = METRICS_BINARY in names
        self.timing = SERVER_TIMING in names

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        report = self.listen(head)
        if report is not None and x.backend is not None:
            if report.in_flight >= 1.0:  # it counts this request, which is over when anybody goes by the report
                report.in_flight -= 1.0
            x.report = report
            self.group.heard(x.backend, report, monotonic())
        self.following.head(x, head, body_end, complete)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        report = self.listen(head)
        if report is not None and x.backend is not None:
            self.group.reported(x.backend, report, monotonic())
        self.following.switched(x, head)

    def listen(self, head: ResponseHead) -> LoadReport | None:
        """What this response says of its backend's load, None if it says nothing."""
        value = head.get(METRICS_BINARY) if self.binary else None
        report: LoadReport | None = None
        if value is not None:
            report = parse_binary(value)
        else:
            value = head.get(METRICS) if self.metrics else None
            if value is not None:
                report = parse_header(value)
        if value is not None and report is None:
            self.group.count(U_REPORTS_REFUSED)
        if self.timing and (report is None or report.cost != report.cost):
            report = with_cost(report, head)
        return report

    # --- all else goes on as it comes ---

    def room(self, x: Exchange) -> None:
        self.following.room(x)

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        self.following.connected(x, connection)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        self.following.connect_failed(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        self.following.interim(x, head)

    def data(self, x: Exchange, data: Any) -> None:
        self.following.data(x, data)

    def end(self, x: Exchange) -> None:
        self.following.end(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        self.following.failed(x, reason, silent)


def with_cost(report: LoadReport | None, head: ResponseHead) -> LoadReport | None:
    """The report with the cost that Server-Timing tells; one with only that if there is none."""
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
