"""Tail sampling: at the end of a request, whether its trace is kept.

Law of this file: a trace that is not kept costs the decision and a few counters; one that is kept becomes a record of
plain values, at most `buffer` records at a time. Nothing here blocks, and the exporter is not known here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ...errors import Reason
from ...exchange import Exchange
from ...http1.codec import USER_AGENT
from ...plan import TraceSpec
from ...scoreboard import C_TRACES_DROPPED, C_TRACES_KEPT
from ...stages.rewrite import rewritten_path
from ...telemetry.log_format import FIELD_LIMIT
from .context import Parent, parent_of
from .trace import ERROR, FLAGGED, NOT_KEPT, SHARED, SLOW, WHY, Rules, Trace, Try


class Finished(NamedTuple):
    """The record of a finished request with a kept trace. Times are seconds of the monotonic clock."""

    trace: Trace
    why: str
    """The reason for keeping it, of WHY."""
    link: Parent | None
    """The parent in a traceparent that is not trusted."""
    started: float
    picked: float
    headed: float
    ended: float
    peer: str
    client: str
    scheme: str
    method: bytes
    host: bytes
    """The value of the Host field."""
    path: bytes
    sent_path: bytes
    """The path sent to backends, without the query."""
    version: str
    status: int
    bytes_in: int
    bytes_out: int
    route: str
    upstream: str
    backend: str
    tries: int
    reason: Reason | None
    request_id: bytes
    user_agent: bytes


class Tracer:
    """Records each finished request, then passes it to `following`: the access log, or None."""

    def __init__(self, spec: TraceSpec, rules: Rules, cells: Any) -> None:
        self.rules = rules
        self.cells = cells
        """The head of this worker's slot on the scoreboard."""
        self.following: Any = None
        self.waiting: deque[Finished] = deque()
        """A queue between two threads: the data path appends, the exporting thread pops from the left."""
        self.most = spec.buffer
        self.batch = spec.batch
        self.wake: Callable[[], object] | None = None
        """Called when a batch is full."""

    def record(self, x: Exchange, now: float) -> None:
        """A request is over at time `now`."""
        trace: Trace = x.trace
        if trace is None:  # it never reached a backend
            trace = self.rules.begin(x)
        why = self.kept_for(x, trace, now)
        if why != NOT_KEPT:
            self.keep(x, trace, why, now)
        if self.following is not None:
            self.following.record(x, now)

    def kept_for(self, x: Exchange, trace: Trace, now: float) -> int:
        """The reason for keeping the trace, as an index into WHY, or NOT_KEPT."""
        rules = self.rules
        if rules.errors and (x.status >= 500 or (x.reason is not None and is_error(x.reason))):
            return ERROR
        if rules.slow > 0.0 and now - x.started >= rules.slow and x.status != 101:
            return SLOW
        if rules.sampled and trace.flagged:
            return FLAGGED
        return SHARED if trace.shared else NOT_KEPT

    def keep(self, x: Exchange, trace: Trace, why: int, now: float) -> None:
        """Queue the record for the exporter; drop and count it if the queue is full."""
        cells, waiting = self.cells, self.waiting
        cells[C_TRACES_KEPT + why] += 1
        if len(waiting) >= self.most:
            cells[C_TRACES_DROPPED] += 1
            return
        waiting.append(finished(x, trace, why, now))
        if len(waiting) == self.batch and self.wake is not None:
            self.wake()


def is_error(reason: Reason) -> bool:
    """Whether a reason is a failure, rather than a configured response or a client that has disconnected."""
    return reason.error != ""


def finished(x: Exchange, trace: Trace, why: int, now: float) -> Finished:
    """The record of an exchange, before the exchange is reused."""
    head, route, client = x.head, x.route, x.client
    assert client is not None
    parsed = head.data is not None
    settle(trace.current, x, now)
    path = head.path if parsed else b""
    sent = path
    if route is not None and trace.tries and (route.rewrites or route.raw_path):
        sent = rewritten_path(x, route) or path
    return Finished(
        trace,
        WHY[why],
        parent_of(head) if parsed and not trace.parent_id else None,
        x.started,
        x.attempt.picked,
        x.attempt.head_at,
        now,
        client.peer.address,
        x.client_address(),
        client.peer.scheme,
        head.method if parsed else b"",
        head.host_header()[:FIELD_LIMIT] if parsed else b"",
        path[:FIELD_LIMIT],
        sent[:FIELD_LIMIT].partition(b"?")[0],
        head.version,
        x.status,
        x.bytes_in,
        x.bytes_out,
        route.name if route is not None else "",
        route.upstream if route is not None else "",
        x.attempt.backend_name,
        x.tries,
        x.reason,
        head.request_id(),
        (head.value(USER_AGENT) or b"")[:FIELD_LIMIT] if parsed else b"",
    )


def settle(attempt: Try | None, x: Exchange, now: float) -> None:
    """End the current attempt with the end of its exchange."""
    if attempt is None or attempt.ended:
        return
    if not x.responding and attempt.headed:  # its response was not passed on, and no further attempt followed
        attempt.end(attempt.headed)
        return
    attempt.headed = attempt.headed or x.attempt.head_at
    attempt.reason = x.reason
    attempt.end(now)
