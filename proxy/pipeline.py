"""START HERE: the life of a request.

Law of this file: every stage is here, in order, and nothing else is. The stage names are the words used in metrics,
error reasons, the access log and the docs. A stage does its part and enters the next one by a plain call; where it
has to wait, it returns, and the way back (`Relay`) goes on when the answer is there. A plan links only those stages
that a route needs (control/compile.py), so a feature that is not configured costs nothing.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from . import rewriting
from .balancing.base import Balancer
from .balancing.keys import Key
from .deadlines import NEVER
from .ending import answer, drop_backend, finish, respond, settle_keep
from .errors import (
    BALANCER_FAILED,
    BODY_TOO_LARGE,
    FIXED,
    MAX_FORWARDS,
    NO_BACKEND,
    NO_ROUTE,
    REDIRECT,
    UPGRADE_REFUSED,
    Reason,
)
from .exchange import Exchange, ReturnStage, Stage
from .http1.codec import CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE, X_FORWARDED_HOST, ResponseHead, mask_of
from .http1.codec import MAX_FORWARDS as H_MAX_FORWARDS
from .upstream.connection import UpstreamConnection
from .upstream.pool import Pool

log = logging.getLogger("qantara")

# fmt: off
STAGES = (
    "accept",   # downstream.connection   a head has arrived and is a valid request
    "route",    # start, Redirect, Fixed  which route serves it
    "admit",    # Admit                   limits
    "lookup",   # (cache, not yet)        answer from the cache?
    "pick",     # Pick                    which backend
    "connect",  # Connect                 an idle connection, or a new one
    "send",     # Send                    head and body out
    "relay",    # Relay                   the response back, both sides throttled
    "store",    # (cache, not yet)        keep a copy
    "finish",   # ending.finish           count, log, release, next request
)
# fmt: on

MOST_TRIES = 3
"""Backends tried until one accepts a connection."""
COPY_LIMIT = 16384
"""Bytes of body that are copied behind a head, to send both with one write; more goes out uncopied by writev."""
DROP_CODING = mask_of(TRANSFER_ENCODING)
DROP_FRAMING = mask_of(TRANSFER_ENCODING, CONTENT_LENGTH)
DROP_MAX_FORWARDS = mask_of(H_MAX_FORWARDS)
DROP_HOST = mask_of(HOST)
NOTHING = 0


def start(x: Exchange) -> None:
    """route: find the route, and go its way."""
    plan, client = x.plan, x.client
    assert plan is not None and client is not None
    route = plan.routes.find(x.head)
    if route is None:
        client.deadline = x.started + plan.settings.body_idle
        answer(x, NO_ROUTE)
        return
    x.route = route
    x.relay = route.relay
    client.deadline = x.started + route.request_timeout
    first: Stage = route.first
    first.enter(x)


class Redirect(Stage):
    """route: answer with a redirect."""

    def __init__(self, status: int, to: str) -> None:
        super().__init__()
        self.reason = REDIRECT._replace(status=status)
        self.to = to

    def enter(self, x: Exchange) -> None:
        respond(x, self.reason, f"Location: {rewriting.location(self.to, x)}\r\n", b"")


class Fixed(Stage):
    """route: answer with a fixed response."""

    def __init__(self, status: int, lines: str, body: bytes) -> None:
        super().__init__()
        self.reason = FIXED._replace(status=status)
        self.lines = lines
        self.body = body

    def enter(self, x: Exchange) -> None:
        respond(x, self.reason, self.lines, self.body)


class Admit(Stage):
    """admit: what is too large, or may not go further, ends here."""

    def enter(self, x: Exchange) -> None:
        head, route = x.head, x.route
        assert route is not None
        if head.content_length > route.body_size or x.bytes_in > route.body_size:
            answer(x, BODY_TOO_LARGE)
            return
        if head.has(H_MAX_FORWARDS) and head.method == b"OPTIONS" and head.value(H_MAX_FORWARDS) == b"0":
            respond(x, MAX_FORWARDS, "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n", b"")
            return
        if head.upgrade and head.has(UPGRADE):
            asked = head.get_all(b"upgrade")
            x.upgrading = head.minor == 1 and len(asked) == 1 and asked[0].lower() in route.upgrades
        following = self.next
        assert following is not None
        following.enter(x)


class Pick(Stage):
    """pick: the balancing algorithm names a backend."""

    def __init__(self, balancer: Balancer, key: Key | None, following: Stage) -> None:
        super().__init__(following)
        self.balancer = balancer
        self.key = key

    def enter(self, x: Exchange) -> None:
        balancer = self.balancer
        try:
            backend = balancer.pick(None if self.key is None else self.key(x.head))
            if backend is not None:
                balancer.took(backend)
        except Exception:
            log.exception("balancing algorithm %s failed", type(balancer).__name__)
            answer(x, BALANCER_FAILED)
            return
        if backend is None:
            answer(x, NO_BACKEND)
            return
        x.backend = backend
        x.backend_name = backend.name
        x.balancer = balancer
        x.picked = x.started if x.tries == 0 else monotonic()
        backend.requests += 1
        backend.in_flight += 1
        following = self.next
        assert following is not None
        following.enter(x)


class Connect(Stage):
    """connect: take an idle connection, or wait for one."""

    def enter(self, x: Exchange) -> None:
        backend = x.backend
        assert backend is not None
        pool: Pool = backend.pool
        x.tries += 1
        connection = pool.acquire(not x.head.idempotent, x.started)
        if connection is None:
            x.waiting = True
            pool.wait(x)
            return
        x.upstream = connection
        following = self.next
        assert following is not None
        following.enter(x)


class Send(Stage):
    """send: the head, rewritten, and what of the body is here; the rest follows as it comes."""

    def enter(self, x: Exchange) -> None:
        connection, route, client = x.upstream, x.route, x.client
        assert connection is not None and route is not None and client is not None
        request = x.head
        drop = client.forwarded_drop
        add_host = client.forwarded_host
        if client.forwarded_static and request.minor == 1:
            block = client.forwarded
        else:
            block = rewriting.forwarding_lines(x)
            if client.trusted and request.has(X_FORWARDED_HOST):
                add_host = False
            if request.minor == 0 and not request.has(HOST):
                drop |= DROP_HOST
                block += rewriting.host_line(x)
        if request.has(H_MAX_FORWARDS) and request.method == b"OPTIONS":
            block += rewriting.max_forwards_line(x)
            drop |= DROP_MAX_FORWARDS
        path = None
        if route.rewrites or route.raw_path:
            path = rewriting.rewritten_path(x, route)
        x.response_head = route.response_head
        x.response_idle = route.response_idle
        head = request.forward(path, block, drop, add_host, x.upgrading, route.request_edits)
        x.payload = head
        if x.request_done:
            now = x.started if x.tries == 1 and not x.waited else monotonic()
            connection.send(x, head, x.body, now + route.response_head)
        else:  # the backend has its time from the end of the request on
            client.read_body()  # before the write, which may find that the backend takes no more
            connection.send(x, head, x.body, NEVER)


class Relay(ReturnStage):
    """relay: the response goes back to the client as it comes; and what to do if it does not come."""

    def __init__(self, pick: Stage, send: Stage, only_backend: bool) -> None:
        self.pick = pick
        self.send = send
        self.only_backend = only_backend

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        x.waiting = False
        x.waited = True
        x.upstream = connection
        self.send.enter(x)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        x.waiting = False
        if reason.retryable and not self.only_backend and x.tries < MOST_TRIES:
            drop_backend(x, monotonic())
            self.pick.enter(x)
        else:
            answer(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        client = x.client
        if client is not None and x.head.minor == 1:  # HTTP/1.0 knows no 1xx (RFC 9110 15.2)
            client.send(head.forward(b"", DROP_FRAMING, None, head.end))

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        client, route = x.client, x.route
        assert client is not None and route is not None
        x.responding = True
        x.status = head.status
        x.bytes_out += body_end - head.end
        if complete:
            x.upstream = None
        settle_keep(x)
        open_ended = not complete and not head.chunked and head.content_length < 0
        drop = NOTHING
        if head.status == 204:  # it can have no body, so it may not announce one (RFC 9110 8.6, RFC 9112 6.1)
            drop = DROP_FRAMING
        elif head.chunked and head.status == 304:
            drop = DROP_CODING
        if x.keep and not x.decode_chunks and not open_ended and route.response_edits is None and head.clean(drop):
            data = head.data
            assert data is not None
            client.send(data if body_end == len(data) and head.start == 0 else data[head.start : body_end])
        else:
            self.rebuild(x, head, body_end, open_ended, drop)
        if complete:
            finish(x)

    def rebuild(self, x: Exchange, head: ResponseHead, body_end: int, open_ended: bool, drop: int) -> None:
        """Send a response head that differs from the one received."""
        client, route = x.client, x.route
        assert client is not None and route is not None
        block = b""
        if x.decode_chunks:  # HTTP/1.0: no chunks, so the end of the body is the end of the connection
            if head.chunked:
                drop |= DROP_CODING
            if open_ended or head.chunked:
                x.keep = False
            if x.keep:
                block = b"Connection: keep-alive\r\n"
        elif open_ended:
            x.chunk_body = True
            block = b"Transfer-Encoding: chunked\r\n"
        if not x.keep:
            block += b"Connection: close\r\n"
        edits = route.response_edits
        if x.chunk_body or body_end - head.end > COPY_LIMIT:
            assert head.data is not None
            body = memoryview(head.data)[head.end : body_end]
            start = head.forward(block, drop, edits, head.end)
            if x.chunk_body:
                client.send(start + (chunk(body) if len(body) else b""))
            else:
                client.send_pair(start, body)
        else:
            client.send(head.forward(block, drop, edits, body_end))

    def data(self, x: Exchange, data: Any) -> None:
        client = x.client
        assert client is not None
        x.bytes_out += len(data)
        if x.status == 101 and x.route is not None:
            client.deadline = monotonic() + x.route.tunnel_idle
        client.send(chunk(data) if x.chunk_body else data)

    def end(self, x: Exchange) -> None:
        client = x.client
        assert client is not None
        if x.status == 101:
            client.end_tunnel()
            return
        x.upstream = None
        if x.chunk_body:
            client.send(b"0\r\n\r\n")
        finish(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        backend = x.backend
        assert backend is not None
        x.upstream = None
        if silent and x.tries < MOST_TRIES and not x.responding and x.payload is not None and x.head.idempotent:
            x.waiting = True  # the connection was stale: that is between us and the backend
            x.tries += 1
            backend.pool.wait(x, True)
        else:
            backend.failures += 1
            answer(x, reason)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        client, route, data = x.client, x.route, head.data
        assert client is not None and route is not None and data is not None
        protocol = head.value(UPGRADE) or b""
        if protocol.lower() != (x.head.value(UPGRADE) or b"").lower():
            answer(x, UPGRADE_REFUSED)  # it has switched, but to something that this route may not allow
            return
        x.responding = True
        x.status = 101
        x.keep = False
        lines = b"Connection: upgrade\r\nUpgrade: %s\r\n" % protocol
        client.tunnel(route.tunnel_idle)
        client.send(head.forward(lines, DROP_FRAMING, route.response_edits, len(data)))
        x.bytes_out += len(data) - head.end


def chunk(data: Any) -> bytes:
    """One chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
