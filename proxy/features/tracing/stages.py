"""send and relay, where requests are traced.

Law of this file: it notes what the stages do anyway and changes nothing but the header lines of the trace. A clock is
only read where something went wrong or had to wait.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ...errors import Reason
from ...exchange import Exchange, ReturnStage
from ...http1.codec import ResponseHead
from ...pipeline import Send
from ...upstream.connection import UpstreamConnection
from .trace import Rules, Trace, Try


class TracedSend(Send):
    """send: the backend is told which try of which trace it serves."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self.rules = rules

    def dispatch(self, x: Exchange, block: bytes, drop: int, add_host: bool) -> None:
        trace: Trace = x.trace
        if trace is None:
            trace = self.rules.begin(x)
        trace.written = attempt = trace.go(x)
        attempt.sent = attempt.picked if x.tries == 1 and not x.waited else monotonic()
        Send.dispatch(self, x, block + trace.lines(attempt), drop, add_host)


class TracedReturn(ReturnStage):
    """relay: as `inner`, and what became of each try."""

    def __init__(self, rules: Rules, inner: ReturnStage) -> None:
        self.rules = rules
        self.inner = inner

    def room(self, x: Exchange) -> None:
        self.inner.room(x)

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        self.inner.connected(x, connection)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        if x.backend is not None:
            trace: Trace = x.trace
            if trace is None:
                trace = self.rules.begin(x)
            attempt = trace.go(x)
            attempt.reason = reason
            attempt.end(monotonic())
            trace.current = None
        self.inner.connect_failed(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        self.inner.interim(x, head)

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        trace: Trace = x.trace
        attempt: Try | None = trace.current if trace is not None else None
        if attempt is not None:
            attempt.status = head.status
            if head.status >= 400:  # it may be tried elsewhere, and the exchange then keeps no time of it
                attempt.headed = monotonic()
        self.inner.head(x, head, body_end, complete)

    def data(self, x: Exchange, data: Any) -> None:
        self.inner.data(x, data)

    def end(self, x: Exchange) -> None:
        self.inner.end(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        trace: Trace = x.trace
        attempt: Try | None = trace.current if trace is not None else None
        if attempt is not None:
            attempt.reason = reason
            attempt.end(monotonic())
        self.inner.failed(x, reason, silent)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        trace: Trace = x.trace
        attempt: Try | None = trace.current if trace is not None else None
        if attempt is not None:
            attempt.status = head.status
        self.inner.switched(x, head)
