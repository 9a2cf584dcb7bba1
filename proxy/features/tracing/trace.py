"""What is remembered of a request that is traced, while it is in flight.

Law of this file: state only. Ids are lower-case hex digits, times are those of the exchange (monotonic, seconds, 0.0
for not yet). A trace and its tries are never used again, so that they may be read in another thread once the request
is over.
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
"""What a trace is kept for; the first that holds."""
ERROR, SLOW, FLAGGED, SHARED = range(4)
NOT_KEPT = -1
NOTHING = HeaderEdits()


class Rules:
    """What the configuration says about traces, for the path."""

    def __init__(self, spec: TraceSpec) -> None:
        self.everybody = spec.believe == "everybody"
        self.nobody = spec.believe == "nobody"
        self.always_flag = spec.sampled_flag == "always"
        self.errors = spec.errors
        self.sampled = spec.sampled
        self.slow = spec.slow
        self.threshold = threshold(spec.share)

    def believes(self, client: Peer) -> bool:
        """Whether the traceparent of a client is gone on with."""
        return self.everybody or (client.trusted and not self.nobody)

    def begin(self, x: Exchange) -> Trace:
        """The trace of a request: the one that it is part of, or a new one."""
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
    """One request and where it stands in its trace."""

    def __init__(self) -> None:
        self.trace_id = b""
        self.parent_id = b""
        """The span of whoever sent the request, b"" where the trace begins here."""
        self.server_id = b""
        """The span of the request."""
        self.next_id = b""
        """An id for the next try."""
        self.state = b""
        """tracestate."""
        self.flagged = False
        """Whether the sender says that it is recorded."""
        self.shared = False
        """Whether the trace is within the share that is kept in any case."""
        self.announced = False
        """Whether backends are told that it is recorded."""
        self.tries: list[Try] = []
        """In the order in which they began."""
        self.current: Try | None = None
        """The one that the exchange is at."""

    def go(self, x: Exchange) -> Try:
        """The exchange is at the backend that it was picked."""
        before, backend, picked = self.current, x.attempt.backend, x.attempt.picked
        assert backend is not None
        if before is not None:
            before.end(before.headed or picked)  # the head of a response that was not passed on
            picked = max(picked, before.ended)  # once more at the same backend, whose connection was stale
        self.current = self.begin_try(picked, backend.spec)
        return self.current

    def begin_try(self, picked: float, backend: Any) -> Try:
        """The request goes to a backend that was picked at that time."""
        attempt = Try()
        attempt.id = self.next_id or new_id()[:16]
        self.next_id = b""
        attempt.picked = picked
        attempt.backend = backend
        self.tries.append(attempt)
        return attempt

    def fields(self, attempt: Try) -> HeaderEdits:
        """The fields that tell a backend where it stands (W3C Trace Context 3)."""
        parent = b"".join((b"00-", self.trace_id, b"-", attempt.id, b"-01" if self.announced else b"-00"))
        fields: tuple[tuple[bytes, bytes], ...] = ((b"traceparent", parent),)
        if self.state:
            fields += ((b"tracestate", self.state),)
        return NOTHING.plus(fields)


class Try:
    """The request at one backend."""

    def __init__(self) -> None:
        self.id = b""
        self.backend: Any = None
        """What the configuration says of it (BackendSpec)."""
        self.picked = self.sent = self.headed = self.ended = 0.0
        self.status = 0
        self.reason: Reason | None = None
        """Why there was no response, or not the whole."""
        self.hedge = False
        """Whether it was made beside another one that was late."""
        self.dropped = False
        """Whether it was given up without an answer, because another try beside it was enough."""

    def end(self, now: float) -> None:
        """It is over, if it was not before."""
        if self.ended == 0.0:
            self.ended = now
