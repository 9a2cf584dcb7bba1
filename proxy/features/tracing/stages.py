"""send and relay, where requests are traced.

Law of this file: it notes what the stages do anyway and changes nothing but the header lines of the trace. A clock is
only read where something went wrong or had to wait.
"""

from __future__ import annotations

from time import monotonic

from ...errors import Reason
from ...exchange import Exchange, ResponseStage, Stage
from ...http1.codec import ResponseHead
from .trace import Rules, Trace, Try


class TraceSend(Stage):
    """Before send: the backend gets the fields that say which try of which trace it serves."""

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
    """On the way back: what became of each try."""

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
            if head.status >= 400:  # it may be tried elsewhere, and the exchange then keeps no time of it
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
