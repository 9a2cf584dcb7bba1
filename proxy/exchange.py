"""One request in flight, its attempts, and the ports that it passes through.

Law of this file: state and interfaces only; the processing is in pipeline.py and stages/. The port of an exchange to
the client is `ClientStream`, that of an attempt to a backend `UpstreamStream`, both without a wire form. Exchanges are
reused: `begin` sets the state of a request, `clear` releases it.
"""

from __future__ import annotations

from typing import Any

from .deadlines import NEVER, Timed
from .errors import Reason
from .http.forwarded import client_address
from .http.local_replies import LocalReply
from .http.peer import Peer
from .http1.codec import HeaderEdits, RequestHead, ResponseHead
from .http1.framing import Trailers
from .metrics import Counters
from .plan import Plan, RoutePlan
from .upstream.backend import Backend
from .upstream.group import Group
from .upstream.load.report import LoadReport
from .upstream.picker import Picker
from .upstream.ports import BodySource, OutgoingRequest, Requester, UpstreamStream


class ClientStream(Timed):
    """The port towards the client, for one exchange at a time.

    The base discards every part of a response: it is the port of an exchange without a client (a fill in the
    background, a revalidation).
    """

    def __init__(self, peer: Peer, counters: Counters, log: Any = None) -> None:
        self.deadline = NEVER
        self.peer = peer
        self.counters = counters
        self.log = log
        """Records each exchange that is over: the access log, or the tracer before it; None for no record."""
        self.write_paused = False
        """Whether the client takes no more for now."""

    def interim(self, x: Exchange, head: ResponseHead) -> bool:
        """Pass on a 1xx response. False if this client gets none."""
        return False

    def respond(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        """Begin the response with the edits of the exchange; see `Requester.response` for `body_end`. With `complete`
        this is all of it."""

    def data(self, x: Exchange, data: Any) -> None:
        """More of the response body. Bytes that cannot be written are buffered, and a full buffer pauses the source of
        the body."""

    def end(self, x: Exchange, trailers: Trailers) -> None:
        """The response body is complete."""

    def local_reply(self, x: Exchange, reply: LocalReply, close: bool) -> int:
        """Send a local reply; with `close` it is the last response of the connection. Returns the bytes
        sent."""
        return 0

    def abort(self, x: Exchange) -> None:
        """End an incomplete response, recognizably for the client."""

    def reset(self, x: Exchange) -> None:
        """As `abort`, at once and with a reset."""

    def tunnel(self, x: Exchange, head: ResponseHead, protocol: bytes, idle: float) -> None:
        """Pass on 101, and plain bytes from then on; close after `idle` seconds without any."""

    def tunnel_data(self, x: Exchange, data: Any, idle: float) -> None:
        """More bytes of a tunnel."""

    def end_tunnel(self, x: Exchange) -> None:
        """The backend has ended its side of the tunnel."""

    def finished(self, x: Exchange, now: float) -> None:
        """The exchange is over at time `now`."""

    def last(self) -> None:
        """No further request after this one."""

    def read_body(self) -> None:
        """The request body has a receiver: resume reading."""

    def pause_reading(self) -> None:
        """Writing to the backend is paused."""

    def resume_reading(self) -> None:
        """Writing to the backend is possible again."""


class Stage:
    """A stage on the way to the backend. A plan links only the stages of a route."""

    def __init__(self, following: Stage | None = None) -> None:
        self.next: Stage = following if following is not None else END

    def enter(self, x: Exchange) -> None:
        """Process the request and enter the next stage, or end it with a reply. The base enters the next stage."""
        self.next.enter(x)


class End(Stage):
    """The stage after the last one, which never enters it."""

    def __init__(self) -> None:
        self.next = self

    def enter(self, x: Exchange) -> None:
        raise RuntimeError("there is no further stage")


END = End()


class ResponseStage:
    """A stage on the way back to the client. Each method calls the same one of the next stage; the last is `Relay`."""

    def __init__(self, following: ResponseStage | None = None) -> None:
        self.next: ResponseStage = following if following is not None else NO_WAY_BACK

    def connected(self, x: Exchange, stream: UpstreamStream) -> None:
        """A connection is available, after a wait."""
        self.next.connected(x, stream)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        """No connection, or no slot in the upstream, is available."""
        self.next.connect_failed(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        """A 1xx response."""
        self.next.interim(x, head)

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        """The final response head, and the first part of the body (see `Requester.response`)."""
        self.next.head(x, head, body_end, complete)

    def data(self, x: Exchange, data: Any) -> None:
        """More of the response body."""
        self.next.data(x, data)

    def end(self, x: Exchange, trailers: Trailers) -> None:
        """The response body is complete."""
        self.next.end(x, trailers)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        """The response is missing or incomplete."""
        self.next.failed(x, reason, silent)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        """The backend switched protocols."""
        self.next.switched(x, head)


class NoWayBack(ResponseStage):
    """The way back of an exchange without a route: no event arrives."""

    def __init__(self) -> None:
        self.next = self


NO_WAY_BACK = NoWayBack()


class Wait:
    """A wait of an exchange or an attempt; the end of the exchange cancels it."""

    def cancel(self) -> None:
        """End the wait without an event."""


class Attempt(Requester):
    """One attempt at one backend. A retry is the next attempt, a hedge a second one beside it."""

    def __init__(self, x: Exchange) -> None:
        super().__init__()
        self.x = x
        self.backend_name = ""
        self.forget()

    def forget(self) -> None:
        """Release all state of the request."""
        self.backend: Backend | None = None
        """None until one is picked, and again when the attempt is over for it."""
        self.backend_name = ""
        self.balancer: Any = None
        self.upstream: UpstreamStream | None = None
        self.wait: Any = None
        """A `Wait` for a connection."""
        self.picked = 0.0
        self.connected_at = 0.0
        """When the connection was there, if that is later than `picked`: it had to wait for one. NEVER until it is."""
        self.head_at = 0.0
        """When the response head came, 0.0 if the whole response came with it."""
        self.in_flight_at_pick = 0
        """Requests in flight at the backend when this one was assigned, itself included."""
        self.report: LoadReport | None = None
        """The load report in the response."""
        self.request_done = False
        self.queued_for = 0.0

    # --- called by the upstream side: passed to the way back of the route ---

    def can_use_slot(self) -> bool:
        x = self.x
        assert x.group is not None and x.picker is not None
        return x.picker.any_of(x.tried or (), x.key, x.group.overload)

    def slot_free(self) -> None:
        x = self.x
        assert x.route is not None
        x.wait = None
        x.route.pick.enter(x)

    def connected(self, stream: UpstreamStream) -> None:
        self.x.back.connected(self.x, stream)

    def connect_failed(self, reason: Reason) -> None:
        self.x.back.connect_failed(self.x, reason)

    def interim(self, head: ResponseHead) -> None:
        self.x.back.interim(self.x, head)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.x.back.head(self.x, head, body_end, complete)

    def data(self, data: Any) -> None:
        self.x.back.data(self.x, data)

    def end(self, trailers: Trailers) -> None:
        self.x.back.end(self.x, trailers)

    def failed(self, reason: Reason, silent: bool) -> None:
        self.x.back.failed(self.x, reason, silent)

    def switched(self, head: ResponseHead) -> None:
        self.x.back.switched(self.x, head)

    def pause(self) -> None:
        client = self.x.client
        if client is not None:
            client.pause_reading()

    def resume(self) -> None:
        client = self.x.client
        if client is not None:
            client.resume_reading()


class Exchange:
    """One request in flight."""

    def __init__(self) -> None:
        self.serial = 0
        """How many requests this exchange has been so far."""
        self.head = RequestHead()
        self.outgoing = OutgoingRequest(self.head)
        self.first = Attempt(self)
        """The attempt that every request begins with."""
        self.clear()

    def clear(self) -> None:
        """Release all state of the request."""
        self.client: ClientStream | None = None
        self.plan: Plan | None = None
        self.route: RoutePlan | None = None
        self.back: ResponseStage = NO_WAY_BACK
        self.address: str | None = None  # of the client, cached, as forwarded by trusted proxies
        # where it goes
        self.group: Group | None = None
        """The upstream, from the first pick on."""
        self.picker: Picker | None = None
        """The members of it that the request may go to."""
        self.key: bytes | None = None
        """The key of the algorithm."""
        self.sticky_token: bytes | None = None
        """The token presented by the client (features/sticky/)."""
        self.attempt = self.first
        """The current attempt; with hedging, the one that wins."""
        self.hedge: Any = None
        """The second attempt beside it (stages/hedge.py)."""
        self.source: BodySource | None = None
        """Where the response comes from while it is not complete."""
        self.wait: Any = None
        """A `Wait` for anything but a connection: a slot, a pause, a rate limit, a fault on purpose."""
        self.was_delayed = False
        """Whether it was delayed, so that `started` is no longer the present time."""
        self.tries = 0
        self.resent = False
        """Whether it was sent again to the same backend, because the first connection had gone stale."""
        self.tried: list[Backend] | None = None
        """The backends at which this request has failed."""
        self.attempted: list[str] | None = None
        """The names of the backends that it was given to before the present one."""
        self.started = 0.0
        self.queued_since = 0.0  # for a slot in the upstream; 0.0 if it never had to wait
        # the request
        self.http10 = False
        """Whether the client speaks HTTP/1.0: no interim responses, no upgrades, Host is optional."""
        self.decode_body = False
        """Whether the response body is delivered without its transfer coding."""
        self.request_done = self.upgrading = False
        self.body: Any = None
        """What of the request body came before there was anywhere to send it."""
        self.replayable = False
        """Whether the whole request, as far as it was sent, can be sent again."""
        self.replay_body: list[Any] | None = None
        """What was sent of the body behind `body`."""
        self.request_edits: HeaderEdits | None = None
        self.response_edits: HeaderEdits | None = None  # of the route, and what stages add for this request
        # the response
        self.responding = False
        self.interim_sent = False
        self.status = 0
        self.reason: Reason | None = None
        self.trace: Any = None
        """Its place in a trace (features/tracing/trace.py), from the first try on."""
        self.bytes_in = self.bytes_out = 0
        self.outgoing.own = None
        self.first.forget()
        self.head.release()

    def begin(self, client: ClientStream, plan: Plan, now: float) -> None:
        """Begin with the head parsed into `self.head` at time `now`."""
        self.serial += 1
        self.client = client
        self.plan = plan
        self.started = now
        self.head_only = self.head.is_head
        self.http10 = self.decode_body = False

    def refuse(self, client: ClientStream, plan: Plan, now: float) -> None:
        """Begin with malformed bytes at time `now`: only an error response follows."""
        self.client = client
        self.plan = plan
        self.started = now
        self.head_only = self.http10 = self.decode_body = False

    def client_address(self) -> str:
        """The address of the client: as forwarded by trusted proxies, else that of the peer."""
        client, plan = self.client, self.plan
        assert client is not None and plan is not None
        peer = client.peer
        if not peer.trusted:
            return peer.address
        if self.address is None and self.head.data is not None:
            self.address = client_address(self.head, peer.address, plan.settings.trusts)
        return self.address or peer.address

    def take(self, stream: UpstreamStream) -> None:
        """The connection of the attempt is there."""
        self.attempt.upstream = stream
        self.source = stream

    def let_go(self) -> None:
        """The response is complete, or its connection gone."""
        self.attempt.upstream = None
        self.source = None

    def drop_source(self) -> None:
        """Close the source of the response, if it is incomplete."""
        source = self.source
        if source is not None:
            self.let_go()
            source.discard()

    def request_data(self, data: Any) -> None:
        """More of the request body, to be sent on."""
        upstream = self.attempt.upstream
        if upstream is not None:
            if self.replayable:
                self._keep(data)
            upstream.write(data)
        else:  # no connection yet: reading is paused now, so this happens once at most
            self.body = bytes(self.body) + data if self.body else data

    def _keep(self, data: Any) -> None:
        """Buffer a part of the body for a retry, or release the buffer at its limit."""
        if self.group is None or self.bytes_in > self.group.spec.retry.buffer:
            self.replayable = False
            self.body = self.replay_body = None
        elif self.replay_body is None:
            self.replay_body = [data]
        else:
            self.replay_body.append(data)

    def request_complete(self, now: float) -> None:
        """The last byte of the request is here at time `now`."""
        attempt = self.attempt
        self.request_done = True
        attempt.request_done = True
        if attempt.upstream is not None:
            attempt.upstream.expect_head(now + attempt.response_head)
