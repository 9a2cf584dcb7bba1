"""The trace of a request in flight.

Law of this file: state only. Ids are lower-case hex digits; times are those of the exchange (monotonic, seconds, 0.0
for not yet). A trace and its attempts are not reused, so another thread may read them once the request is over.
"""

from __future__ import annotations

from typing import Any

from ...errors import Reason
from ...exchange import Exchange
from ...http.peer import Peer
from ...http1.codec import HeaderEdits, new_id
from ...plan import TraceSpec
from .context import parent_of, state_of, threshold

WHY = ("error", "slow", "sampled", "share")
"""Reasons for keeping a trace; the first that applies."""
ERROR, SLOW, FLAGGED, SHARED = range(4)
NOT_KEPT = -1
NOTHING = HeaderEdits()


class Rules:
    """The settings of tracing for the data path."""

    def __init__(self, spec: TraceSpec) -> None:
        self.everybody = spec.believe == "everybody"
        self.nobody = spec.believe == "nobody"
        self.always_flag = spec.sampled_flag == "always"
        self.errors = spec.errors
        self.sampled = spec.sampled
        self.slow = spec.slow
        self.threshold = threshold(spec.share)

    def believes(self, client: Peer) -> bool:
        """Whether the traceparent of a client is trusted, so that its trace is continued."""
        return self.everybody or (client.trusted and not self.nobody)

    def begin(self, x: Exchange) -> Trace:
        """The trace of a request: a continued one, or a new one."""
        trace = Trace()
        ids = new_id()
        trace.server_id = ids[:16]
        trace.next_id = ids[16:]
        head, client = x.head, x.client
        assert client is not None
        if head.data is not None and self.believes(client.peer):
            parent = parent_of(head)
            if parent is not None:
                trace.trace_id = parent.trace_id
                trace.parent_id = parent.span_id
                trace.flagged = parent.sampled
                trace.state = state_of(head)
        if not trace.parent_id:
            trace.trace_id = new_id()
        trace.shared = trace.trace_id[18:] >= self.threshold
        trace.announced = trace.flagged or trace.shared or self.always_flag
        x.trace = trace
        return trace


class Trace:
    """One request, its spans, and its parent in the trace."""

    def __init__(self) -> None:
        self.trace_id = b""
        self.parent_id = b""
        """The parent span, that of the client; b"" at the root of a trace."""
        self.server_id = b""
        """The span of the request."""
        self.next_id = b""
        """The span of the next attempt."""
        self.state = b""
        """tracestate."""
        self.flagged = False
        """Whether the sampled flag of the client is set."""
        self.shared = False
        """Whether the trace is within the share that is always kept."""
        self.announced = False
        """Whether the sampled flag is set towards backends."""
        self.tries: list[Try] = []
        """The attempts in the order of their start."""
        self.current: Try | None = None
        """The attempt whose response counts."""

    def go(self, x: Exchange) -> Try:
        """Begin the attempt at the picked backend, and end the one before."""
        before, backend, picked = self.current, x.attempt.backend, x.attempt.picked
        assert backend is not None
        if before is not None:
            before.end(before.headed or picked)  # the head of a response that was not passed on
            picked = max(picked, before.ended)  # again at the same backend, after a stale connection
        self.current = self.begin_try(picked, backend.spec)
        return self.current

    def begin_try(self, picked: float, backend: Any) -> Try:
        """Begin an attempt at a backend picked at the time `picked`."""
        attempt = Try()
        attempt.id = self.next_id or new_id()[:16]
        self.next_id = b""
        attempt.picked = picked
        attempt.backend = backend
        self.tries.append(attempt)
        return attempt

    def fields(self, attempt: Try) -> HeaderEdits:
        """The fields traceparent and tracestate for the backend of an attempt (W3C Trace Context 3)."""
        parent = b"".join((b"00-", self.trace_id, b"-", attempt.id, b"-01" if self.announced else b"-00"))
        fields: tuple[tuple[bytes, bytes], ...] = ((b"traceparent", parent),)
        if self.state:
            fields += ((b"tracestate", self.state),)
        return NOTHING.plus(fields)


class Try:
    """One attempt at one backend: a client span."""

    def __init__(self) -> None:
        self.id = b""
        self.backend: Any = None
        """Its BackendSpec."""
        self.picked = self.sent = self.headed = self.ended = 0.0
        self.status = 0
        self.reason: Reason | None = None
        """The reason of a missing or incomplete response."""
        self.hedge = False
        """Whether it is the second attempt of a hedged request."""
        self.dropped = False
        """Whether it was cancelled before a response, because the other attempt had won."""

    def end(self, now: float) -> None:
        """End it at time `now`, unless it has ended."""
        if self.ended == 0.0:
            self.ended = now
