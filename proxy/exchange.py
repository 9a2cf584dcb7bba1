"""One request in flight, and what it talks to.

Law of this file: state and interfaces only. What happens to a request is in pipeline.py. An exchange speaks to the
client through `Client` and to the backend through `UpstreamConnection` and `Requester`; nothing here knows how either
side writes its bytes. Exchanges are reused: `begin` sets what is per request, `clear` lets go of it.
"""

from __future__ import annotations

from typing import Any

from .deadlines import NEVER, Timed
from .errors import Reason
from .http.forwarded import ALL_FORWARDING, REPLACED, client_address, static_lines
from .http1.codec import HeaderEdits, RequestHead, ResponseHead
from .metrics import Counters
from .plan import Plan, RoutePlan, Settings
from .upstream.backend import Backend
from .upstream.connection import Requester, UpstreamConnection
from .upstream.group import Group
from .upstream.load.report import LoadReport
from .upstream.picker import Picker


class Client(Timed):
    """The side of a connection that faces the client, as an exchange sees it."""

    def __init__(self, counters: Counters, log: Any) -> None:
        self.deadline = NEVER
        self.address = ""
        """Address of the peer on the socket, without its port; "unix" on a Unix socket."""
        self.key: bytes | None = None
        """What its requests are counted by, once somebody has asked (stages/request_key.py)."""
        self.scheme = "http"
        self.trusted = False
        self.forwarded = b""
        """Header lines that every request of this connection gets, as far as they do not depend on the request."""
        self.forwarded_drop = 0
        """Forwarding headers of the client that are left out, as the codec's mask."""
        self.forwarded_host = True
        """Whether X-Forwarded-Host is added."""
        self.forwarded_static = True
        """Whether `forwarded` is all there is to add besides X-Forwarded-Host."""
        self.may_keep = True
        """Whether the connection may serve another request after this one."""
        self.counters = counters
        self.log = log
        """Who is told of each request that is over: the access log, or the tracer before it; None for nobody."""

    def introduce(self, settings: Settings) -> None:
        """Decide what backends are told about this client."""
        mode = settings.forwarded
        self.trusted = settings.trusts(self.address)
        self.forwarded_static = not self.trusted and mode in ("x-forwarded", "none")
        self.forwarded = static_lines(mode, self.address, self.scheme, settings.via)
        self.forwarded_host = mode in ("x-forwarded", "both")
        self.forwarded_drop = ALL_FORWARDING
        if self.trusted:
            self.forwarded_drop = 0 if mode == "none" else REPLACED

    def send(self, data: Any) -> None:
        """Send bytes. What the client does not take is buffered; `Exchange.pause` is called when it is too much."""

    def send_pair(self, head: bytes, body: Any) -> None:
        """Send a head and body bytes with one system call."""

    def finished(self, x: Exchange, keep: bool, now: float) -> None:
        """The exchange is over at time `now`, the response complete; the next request may begin if `keep`."""

    def cut(self, reset: bool) -> None:
        """Close at once, so that the client sees that the response is incomplete; with a reset where only the close
        ends the body, and an ordinary one would pass for its end."""

    def tunnel(self, idle: float) -> None:
        """From now on hand on plain bytes; close after `idle` seconds without any."""

    def end_tunnel(self) -> None:
        """The backend has ended its side of the tunnel."""

    def read_body(self) -> None:
        """There is somewhere for the request body to go: read on."""

    def pause_reading(self) -> None:
        """The backend takes no more."""

    def resume_reading(self) -> None:
        """The backend takes more again."""


class Stage:
    """A station on the way to the backend. A plan links those that a route needs, and no others."""

    def __init__(self, following: Stage | None = None) -> None:
        self.next = following

    def enter(self, x: Exchange) -> None:
        """Do this stage's part and enter the next, or answer."""


class ReturnStage:
    """A station on the way back to the client. The pipeline's `Relay` is the last; others wrap it."""

    def room(self, x: Exchange) -> None:
        """The upstream has room for the exchange, which waited in its queue."""

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        """The connection that the exchange waited for is there."""

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        """There will be no connection."""

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        """A 1xx response."""

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        """The final response head, with the body bytes of `head.data` up to `body_end`."""

    def data(self, x: Exchange, data: Any) -> None:
        """More of the response body."""

    def end(self, x: Exchange) -> None:
        """The response body is complete."""

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        """The response will not come, or not wholly."""

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        """The backend switched protocols."""


class Exchange(Requester):
    """One request in flight."""

    def __init__(self) -> None:
        super().__init__()
        self.serial = 0
        """How many requests this exchange has been so far."""
        self.head = RequestHead()
        self.clear()

    def clear(self) -> None:
        """Let go of everything that belonged to the request."""
        self.client: Client | None = None
        self.plan: Plan | None = None
        self.address: str | None = None  # of the client, once it was worked out from what trusted proxies say
        self.route: RoutePlan | None = None
        self.relay: ReturnStage | None = None
        self.group: Group | None = None
        """The upstream, from the first pick on."""
        self.picker: Picker | None = None
        """The members of it that the request may go to."""
        self.key: bytes | None = None
        """What the algorithm goes by."""
        self.balancer: Any = None
        self.backend: Backend | None = None
        self.backend_name = ""
        self.upstream: UpstreamConnection | None = None
        # the request
        self.request_done = self.upgrading = False
        self.body: Any = None
        """What of the request body came before there was anywhere to send it."""
        self.payload: bytes | None = None
        """The head as it was sent to the backend, as long as the whole request can be sent again."""
        self.kept: list[Any] | None = None
        """What was sent of the body behind `body`, to be sent again after a failure."""
        self.waiting = self.queued = self.waited = False
        self.timer: Any = None
        """The pause before the next try."""
        self.hedge: Any = None
        """The second attempt beside this one (stages/hedge.py)."""
        self.tries = 0
        self.resent = False
        """Whether it was sent again to the same backend, because the first connection had gone stale."""
        self.tried: list[Backend] | None = None
        """The backends at which this request has failed."""
        self.asked: list[str] | None = None
        """The backends that it was given to before the present one, by name."""
        self.started = self.picked = self.headed = self.queued_for = 0.0
        self.queued_since = 0.0
        """Since when it has wanted room in the upstream; 0 if it never had to wait."""
        self.reached = 0.0
        """When the connection was there, if that is later than `picked`: it had to wait for one. NEVER until it is."""
        self.beside = 0  # requests that the backend had when this one was given to it, itself included
        self.report: LoadReport | None = None
        """What the backend said of its load in the response, if the algorithm wants to know."""
        self.request_edits: HeaderEdits | None = None
        self.response_edits: HeaderEdits | None = None  # of the route, and what stages add for this request
        self.stuck: bytes | None = None
        """The mark of the backend that the client says it is at (features/sticky/stages.py)."""
        self.keep = False
        # the response
        self.responding = False
        self.interim_sent = False
        self.chunk_body = False
        self.status = 0
        self.reason: Reason | None = None
        self.trace: Any = None
        """Its place in a trace (features/tracing/trace.py), from the first try on."""
        self.bytes_in = self.bytes_out = 0
        self.head.release()

    def begin(self, client: Client, plan: Plan, now: float) -> None:
        """A head was parsed into `self.head` at time `now`."""
        self.serial += 1
        self.client = client
        self.plan = plan
        self.started = now
        self.head_only = self.head.is_head
        self.decode_chunks = self.head.minor == 0
        self.keep = not self.head.close if self.head.minor == 1 else self.head.keep_alive

    def refuse(self, client: Client, plan: Plan, now: float) -> None:
        """What came at time `now` is no request: only the answer to it is left to be given."""
        self.client = client
        self.plan = plan
        self.started = now
        self.head_only = False
        self.keep = False

    def client_address(self) -> str:
        """The address that the request comes from: what trusted proxies say, else that of the peer."""
        client, plan = self.client, self.plan
        assert client is not None and plan is not None
        if not client.trusted:
            return client.address
        if self.address is None and self.head.data is not None:
            self.address = client_address(self.head, client.address, plan.settings.trusts)
        return self.address or client.address

    def request_data(self, data: Any) -> None:
        """More of the request body, to be sent on."""
        if self.upstream is not None:
            if self.payload is not None:
                self._keep(data)
            self.upstream.write(data)
        else:  # no connection yet: the client was told to wait, so this happens once at most
            self.body = bytes(self.body) + data if self.body else data

    def _keep(self, data: Any) -> None:
        """Keep a part of the body for another try, or let go of everything if it becomes too much."""
        if self.group is None or self.bytes_in > self.group.spec.retry.buffer:
            self.payload = self.body = self.kept = None
        elif self.kept is None:
            self.kept = [data]
        else:
            self.kept.append(data)

    def request_complete(self, now: float) -> None:
        """The last byte of the request is here at time `now`."""
        self.request_done = True
        if self.upstream is not None:
            self.upstream.expect_head(now + self.response_head)

    # --- what the upstream connection tells: handed to the way back of this route ---

    def fits(self) -> bool:
        assert self.group is not None and self.picker is not None
        return self.picker.any_of(self.tried or (), self.key, self.group)

    def room(self) -> None:
        assert self.relay is not None
        self.relay.room(self)

    def connected(self, connection: UpstreamConnection) -> None:
        assert self.relay is not None
        self.relay.connected(self, connection)

    def connect_failed(self, reason: Reason) -> None:
        assert self.relay is not None
        self.relay.connect_failed(self, reason)

    def interim(self, head: ResponseHead) -> None:
        assert self.relay is not None
        self.relay.interim(self, head)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        assert self.relay is not None
        self.relay.head(self, head, body_end, complete)

    def data(self, data: Any) -> None:
        assert self.relay is not None
        self.relay.data(self, data)

    def end(self) -> None:
        assert self.relay is not None
        self.relay.end(self)

    def failed(self, reason: Reason, silent: bool) -> None:
        assert self.relay is not None
        self.relay.failed(self, reason, silent)

    def switched(self, head: ResponseHead) -> None:
        assert self.relay is not None
        self.relay.switched(self, head)

    def pause(self) -> None:
        if self.client is not None:
            self.client.pause_reading()

    def resume(self) -> None:
        if self.client is not None:
            self.client.resume_reading()
