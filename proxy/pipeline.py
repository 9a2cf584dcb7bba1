"""START HERE: the life of a request.

Law of this file: every stage is here, in order, and nothing else is. The stage names are the words used in metrics,
error reasons, the access log and the docs. A stage does its part and enters the next one by a plain call; where it
has to wait, it returns, and the way back (`Relay`) goes on when the answer is there. A plan links only those stages
that a route needs (configuration/compile.py), so a feature that is not configured costs nothing.
"""

from __future__ import annotations

from time import monotonic

from .balancing.base import Balancer
from .deadlines import NEVER
from .errors import BODY_TOO_LARGE, FIXED, MAX_FORWARDS, NO_BACKEND, NO_ROUTE, REDIRECT
from .exchange import Exchange, Stage
from .http1.codec import HOST, UPGRADE, X_FORWARDED_HOST, mask_of
from .http1.codec import MAX_FORWARDS as H_MAX_FORWARDS
from .metrics import U_ACTIVE, U_REQUESTS
from .scoreboard import IN_FLIGHT, REQUESTS, RETRIES
from .stages import rewrite as rewriting
from .stages.finish import answer, respond
from .stages.request_key import RequestKey
from .stages.retry import forget_payload
from .upstream.backend import Backend
from .upstream.group import Group
from .upstream.picker import Picker
from .upstream.pool import Pool

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

DROP_MAX_FORWARDS = mask_of(H_MAX_FORWARDS)
DROP_HOST = mask_of(HOST)


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
    x.request_edits = route.request_edits
    x.response_edits = route.response_edits
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
    """pick: the balancing algorithm names a backend; if none has room, the request waits in the queue."""

    def __init__(self, group: Group, picker: Picker, key: RequestKey | None, priority: int, following: Stage) -> None:
        super().__init__(following)
        self.group = group
        self.picker = picker
        """The members of the group that this route may use."""
        self.key = key
        self.priority = priority
        """Of `limits.shedding.PRIORITIES`: who waits is let go on in this order."""

    def enter(self, x: Exchange) -> None:
        group, picker = self.group, self.picker
        balancer: Balancer = picker.balancer
        new = x.group is None
        if new:
            x.group = group
            x.picker = picker
            group.rows[U_REQUESTS] += 1
            group.rows[U_ACTIVE] += 1
            group.tokens += group.per_request
        try:
            if self.key is not None and (new or x.tried is not None):
                x.key = self.key.of(x)
            backend = balancer.pick(x.key) if x.tried is None else picker.another(x.tried, x.key)
        except Exception:
            balancer = picker.balancer_failed(balancer)
            backend = picker.first_of(x.tried or (), x.key)
        if backend is None:
            answer(x, NO_BACKEND)
            return
        here = group.rows[U_ACTIVE] > group.ceiling or backend.rows[backend.own + IN_FLIGHT] >= group.most_here
        if here or group.most or (group.shared and backend.load() >= group.most_per_backend):
            backend = self.within_limits(x, backend)
            if backend is None:
                return
        backend.rows[backend.own + REQUESTS] += 1
        backend.rows[backend.own + IN_FLIGHT] += 1
        x.beside = backend.load()
        try:
            balancer.assigned(backend)
        except Exception:
            balancer = picker.balancer_failed(balancer)
        x.backend = backend
        x.backend_name = backend.name
        x.balancer = balancer
        x.picked = x.started if x.tries == 0 and not x.waited else monotonic()
        if x.tried is not None:
            backend.count(RETRIES)
        following = self.next
        assert following is not None
        following.enter(x)

    def within_limits(self, x: Exchange, backend: Backend) -> Backend | None:
        """The backend, or another, if there is room; None if the request now waits for it."""
        group = self.group
        if group.has_room(0):  # this request is among those that it has
            if group.below_limit(backend):
                return backend
            other = group.with_room(self.picker, x.tried or (), x.key)
            if other is not None:
                return other
        x.queued = True
        x.waited = True
        now = monotonic()
        x.queued_since = x.queued_since or now
        group.enqueue(x, self.picker, self.priority, x.queued_since, now)
        return None


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
            x.reached = NEVER
            pool.wait(x)
            return
        x.upstream = connection
        following = self.next
        assert following is not None
        following.enter(x)


class Send(Stage):
    """send: the head, rewritten, and what of the body is here; the rest follows as it comes."""

    def enter(self, x: Exchange) -> None:
        client, request = x.client, x.head
        assert client is not None
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
        self.dispatch(x, block, drop, add_host)

    def dispatch(self, x: Exchange, block: bytes, drop: int, add_host: bool) -> None:
        """Send it with the header lines of `block`, and without the headers of the mask `drop`."""
        connection, route, client, request = x.upstream, x.route, x.client, x.head
        assert connection is not None and route is not None and client is not None
        path = None
        if route.rewrites or route.raw_path:
            path = rewriting.rewritten_path(x, route)
        x.response_head = route.response_head
        x.response_idle = route.response_idle
        head = request.forward(path, block, drop, add_host, x.upgrading, x.request_edits)
        x.payload = head
        x.headed = 0.0
        x.report = None
        if x.request_done:
            now = x.started if x.tries == 1 and not x.waited else monotonic()
            connection.send(x, head, x.body, now + route.response_head)
        else:  # the backend has its time from the end of the request on
            forget_payload(x)
            client.read_body()  # before the write, which may find that the backend takes no more
            connection.send(x, head, x.body, NEVER)
