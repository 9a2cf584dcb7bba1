"""The second attempt of a hedged request, where requests are traced.

Law of this file: it has a span of its own, whose id its backend is told; the one that the exchange is at is the trace's
`current`, whichever attempt that is.
"""

from __future__ import annotations

from time import monotonic

from ...balancing.base import CANCELLED
from ...errors import Reason
from ...exchange import Exchange
from ...http1.codec import ResponseHead
from ...stages.hedge import Attempt
from .trace import Trace, Try


class TracedAttempt(Attempt):
    """As an attempt that is not traced, and what became of it."""

    def start(self) -> None:
        x, backend = self.x, self.backend
        assert x is not None and backend is not None
        trace: Trace = x.trace
        self.trace = trace
        self.mine: Try = trace.begin_try(self.picked, backend.spec)
        self.mine.hedge = True
        super().start()

    def request_head(self, x: Exchange) -> bytes:
        self.mine.sent = monotonic()
        payload, written = super().request_head(x), self.trace.written
        assert written is not None
        return payload.replace(self.trace.lines(written), self.trace.lines(self.mine), 1)

    def lead(self, x: Exchange, outcome: int) -> None:
        first = self.trace.current
        if first is not None:
            first.dropped = first.ended == 0.0 and first.status == 0
            first.end(monotonic())
        self.trace.current = self.mine
        super().lead(x, outcome)

    def cancel(self, outcome: int = CANCELLED) -> None:
        if not self.leads:  # else it ends with the exchange
            self.mine.dropped = self.mine.ended == 0.0 and self.mine.status == 0
            self.mine.end(monotonic())
        super().cancel(outcome)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.mine.status = head.status
        self.mine.headed = monotonic()
        super().response(head, body_end, complete)

    def connect_failed(self, reason: Reason) -> None:
        self._failed(reason)
        super().connect_failed(reason)

    def failed(self, reason: Reason, silent: bool) -> None:
        self._failed(reason)
        super().failed(reason, silent)

    def _failed(self, reason: Reason) -> None:
        if self.mine.ended == 0.0:
            self.mine.reason = reason
            self.mine.end(monotonic())
