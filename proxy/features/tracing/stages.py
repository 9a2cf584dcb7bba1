"""The stages of traced routes: before send, and on the way back.

Law of this file: they record, and change nothing but the fields of the trace context. A clock is read only after a
failure or a wait.
"""

from __future__ import annotations

from time import monotonic

from ...errors import Reason
from ...exchange import Exchange, ResponseStage, Stage
from ...http1.codec import ResponseHead
from .trace import Rules, Trace, Try


class TraceSend(Stage):
    """Before send: adds the fields with the trace id, and the attempt's span id, to the request."""

    def __init__(self, rules: Rules, following: Stage) -> None:
        super().__init__(following)
        self.rules = rules

    def enter(self, x: Exchange) -> None:
        trace: Trace = x.trace
        if trace is None:
            trace = self.rules.begin(x)
        attempt = trace.go(x)
        attempt.sent = attempt.picked if x.tries == 1 and not x.was_delayed else monotonic()
        x.outgoing.own = trace.fields(attempt)
        self.next.enter(x)


class TraceReturn(ResponseStage):
    """On the way back: records the status, the failure and the end of each attempt."""

    def __init__(self, rules: Rules, following: ResponseStage) -> None:
        super().__init__(following)
        self.rules = rules

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        if x.attempt.backend is not None:
            trace: Trace = x.trace
            if trace is None:
                trace = self.rules.begin(x)
            attempt: Try | None = trace.current
            if attempt is None or attempt.ended or attempt.sent:  # else a second attempt that leads, and has its span
                attempt = trace.go(x)
            attempt.reason = reason
            attempt.end(monotonic())
            trace.current = None
        self.next.connect_failed(x, reason)

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        trace: Trace = x.trace
        attempt: Try | None = trace.current if trace is not None else None
        if attempt is not None:
            attempt.status = head.status
            if head.status >= 400:  # a retry may follow, and replace the times of the exchange
                attempt.headed = monotonic()
        self.next.head(x, head, body_end, complete)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        trace: Trace = x.trace
        attempt: Try | None = trace.current if trace is not None else None
        if attempt is not None:
            attempt.reason = reason
            attempt.end(monotonic())
        self.next.failed(x, reason, silent)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        trace: Trace = x.trace
        attempt: Try | None = trace.current if trace is not None else None
        if attempt is not None:
            attempt.status = head.status
        self.next.switched(x, head)
