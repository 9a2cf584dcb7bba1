"""The second attempt of a hedged request, where requests are traced.

Law of this file: the second attempt has its own span, and its backend receives that span's id. The trace's `current` is
the attempt whose response counts.
"""

from __future__ import annotations

from time import monotonic

from ...balancing.base import CANCELLED
from ...errors import Reason
from ...exchange import Exchange
from ...http1.codec import ResponseHead
from ...stages.hedge import HedgedAttempt
from ...upstream.backend import Backend
from .trace import Trace, Try


class TracedHedge(HedgedAttempt):
    """A second attempt with a span."""

    def start(self, backend: Backend) -> None:
        trace: Trace = self.x.trace
        self.trace = trace
        self.span: Try = trace.begin_try(monotonic(), backend.spec)
        self.span.hedge = True
        super().start(backend)

    def address(self, x: Exchange) -> None:
        self.span.sent = monotonic()
        x.outgoing.own = self.trace.fields(self.span)

    def lead(self, outcome: int) -> None:
        first = self.trace.current
        if first is not None:
            first.dropped = first.ended == 0.0 and first.status == 0
            first.end(monotonic())
        self.trace.current = self.span
        super().lead(outcome)

    def cancel(self, outcome: int = CANCELLED) -> None:
        self.span.dropped = self.span.ended == 0.0 and self.span.status == 0
        self.span.end(monotonic())
        super().cancel(outcome)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.span.status = head.status
        self.span.headed = monotonic()
        super().response(head, body_end, complete)

    def connect_failed(self, reason: Reason) -> None:
        if not self.leads:  # else TraceReturn ends it
            self.end_span(reason)
        super().connect_failed(reason)

    def failed(self, reason: Reason, silent: bool) -> None:
        self.end_span(reason)
        super().failed(reason, silent)

    def end_span(self, reason: Reason) -> None:
        """End the span of a failed attempt."""
        if self.span.ended == 0.0:
            self.span.reason = reason
            self.span.end(monotonic())
