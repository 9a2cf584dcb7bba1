"""The ports between an exchange and the connection to a backend.

Law of this file: interfaces without a wire form. Below them a connection uses HTTP/1.1 (upstream/http1.py); above them
there are heads, data, ends and trailers. Times are seconds, sizes bytes.
"""

from __future__ import annotations

from typing import Any

from ..deadlines import NEVER, Timed
from ..errors import Reason
from ..http1.codec import HeaderEdits, RequestHead, ResponseHead
from ..http1.framing import Trailers

NO_FIELDS = HeaderEdits()


class OutgoingRequest:
    """A request to a backend: the head as received, and the changes to it."""

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.path: bytes | None = None
        """In place of the path of `head`; None keeps that."""
        self.fields: HeaderEdits = NO_FIELDS
        """The fields that the proxy adds."""
        self.own: HeaderEdits | None = None
        """Further fields, of one attempt."""
        self.edits: HeaderEdits | None = None
        """The changes of the route, which have the last word."""
        self.drop = 0
        """The known fields that are left out, as the codec's mask."""
        self.add_host = False
        """Whether X-Forwarded-Host is added."""
        self.upgrade = False
        """Whether the client's Upgrade is passed on."""


class BodySource(Timed):
    """Where the body of a response comes from: a backend, an entry of a cache, a file."""

    def pause_reading(self) -> None:
        """Deliver nothing for now: the client is slower than the source."""

    def resume_reading(self) -> None:
        """Deliver again."""

    def discard(self) -> None:
        """Close at once and deliver nothing more."""


class Requester:
    """The side that sent a request, as the upstream side calls it.

    The fields are read by the connection. After `response` with complete=True, `end` or `failed` the connection has
    forgotten its requester.
    """

    def __init__(self) -> None:
        self.request_done = False
        self.head_only = False
        self.decode_body = False
        """Whether the body is delivered without its transfer coding, and trailers with the end; else as received."""
        self.upgrading = False
        self.response_head = NEVER
        """Seconds from the end of the request until the response head is late."""
        self.response_idle = NEVER
        """Seconds between two parts of a response."""
        self.queued_at = self.queued_for = 0.0
        """Since when the request waits in the queue of its upstream, and how long it has done so, all in all."""

    def can_use_slot(self) -> bool:
        """Whether a request in the queue of its upstream may go where a slot is free."""
        return True

    def slot_free(self) -> None:
        """The upstream has a free slot for a request that waited in its queue."""

    def connected(self, stream: UpstreamStream) -> None:
        """A connection is there for this request."""

    def connect_failed(self, reason: Reason) -> None:
        """No connection could be opened."""

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response."""

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        """The final head; `head.data[head.end:body_end]` is the first part of the body, so that head and body may go
        on in one piece. With `complete` there is no more."""

    def data(self, data: Any) -> None:
        """More of the body."""

    def end(self, trailers: Trailers) -> None:
        """The body is complete. Trailers are those of a decoded body."""

    def failed(self, reason: Reason, silent: bool) -> None:
        """The response is missing or incomplete. `silent`: a reused connection was closed without a byte."""

    def switched(self, head: ResponseHead) -> None:
        """101: both sides exchange plain bytes from here on; those behind the head follow by `data`."""

    def pause(self) -> None:
        """Writing to the backend is paused."""

    def resume(self) -> None:
        """Writing to the backend is possible again."""


class UpstreamStream(BodySource):
    """One request and its response at a backend, as an exchange calls it."""

    def send(self, requester: Requester, request: OutgoingRequest, body: Any, deadline: float) -> None:
        """Send a request head, and what of the body is already here. A response head is due by `deadline`."""

    def expect_head(self, deadline: float) -> None:
        """The request is complete: a response head is due by `deadline`."""

    def write(self, data: Any) -> None:
        """Send more of the request body, or of a tunnel."""

    def end_input(self) -> None:
        """The client has ended its side of a tunnel."""

    def close_gently(self, deadline: float) -> None:
        """Close when all that was written has been taken, at `deadline` at the latest."""

    def usable(self) -> bool:
        """Whether a request can be sent on it, as far as the event loop knows."""
        return False

    def is_quiet(self) -> bool:
        """Whether no byte and no end has arrived on an idle connection. One system call."""
        return True

    def give_back(self) -> None:
        """Return it unused to its pool."""
