"""send and relay, hedged: a request whose answer is late goes to a second backend too, and the first answer counts.

Law of this file: exactly one attempt reaches the client; the other is closed, and counts neither for its backend nor
against it. An exchange has at most one second attempt, `x.hedge`, until the first response head; whoever ends the
exchange cancels it. Only requests that may be sent twice are hedged, and only while they are wholly here.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ..balancing.base import CANCELLED, FAILED, Balancer, Done
from ..deadlines import NEVER
from ..errors import Reason
from ..exchange import Exchange, ReturnStage, Stage
from ..http1.codec import ResponseHead
from ..metrics import U_HEDGES, U_HEDGES_REFUSED, U_HEDGES_WON
from ..scoreboard import FAILURES, GATEWAY_ERRORS, IN_FLIGHT, REQUESTS, SERVER_ERRORS
from ..upstream.backend import Backend
from ..upstream.connection import Requester, UpstreamConnection
from ..upstream.group import Group
from ..upstream.picker import Picker
from .finish import drop_backend

GATEWAY_STATUSES = frozenset((502, 503, 504))


class HedgedSend(Stage):
    """send: as before, and look again after the delay."""

    def __init__(self, group: Group, following: Stage) -> None:
        super().__init__(following)
        self.group = group
        self.relay: HedgedRelay | None = None
        self.attempt: type[Attempt] = Attempt
        """What makes the second attempt."""

    def enter(self, x: Exchange) -> None:
        following = self.next
        assert following is not None
        following.enter(x)
        hedger = self.group.hedger
        if hedger is not None and x.upstream is not None and hedgeable(x):
            hedger.watch(x, monotonic() if x.waited else x.started, self)

    def hedge(self, x: Exchange) -> None:
        """The answer is late: ask another backend, if one has room and the budget allows it."""
        group, relay = self.group, self.relay
        if x.upstream is None or x.responding or x.hedge is not None or not hedgeable(x) or relay is None:
            return
        picker = x.picker
        if picker is None or x.backend is None or group.waiting or picker.panicking or not group.has_room(1):
            return
        backend = self.another(x, picker, [x.backend, *(x.tried or ())])
        if backend is None:
            return
        if not group.below_limit(backend):
            return
        if not group.may_retry():
            group.count(U_HEDGES_REFUSED)
            return
        group.count(U_HEDGES)
        x.hedge = attempt = self.attempt(x, relay, backend)
        attempt.start()

    def another(self, x: Exchange, picker: Picker, tried: list[Backend]) -> Backend | None:
        """Who is asked too."""
        try:
            return picker.another(tried, x.key)
        except Exception:
            picker.balancer_failed(picker.balancer)
            return None


def hedgeable(x: Exchange) -> bool:
    """Whether a request that was sent may be sent to another backend beside it."""
    return (
        x.request_done
        and x.payload is not None
        and x.kept is None
        and x.head.idempotent
        and not x.upgrading
        and x.stuck is None  # another backend would not know its session
        and not x.interim_sent
        and x.head.minor == 1
    )


class Attempt(Requester):
    """A second attempt: what its connection tells goes to the exchange once the exchange is its."""

    def __init__(self, x: Exchange, relay: HedgedRelay, backend: Backend) -> None:
        super().__init__()
        self.request_done = True
        self.head_only = x.head_only
        self.decode_chunks = x.decode_chunks
        self.response_head = x.response_head
        self.response_idle = x.response_idle
        self.x: Exchange | None = x
        self.relay = relay
        self.backend: Backend | None = backend
        """None once it is the exchange's."""
        self.balancer: Balancer = x.balancer
        assert x.picker is not None
        self.picker: Picker = x.picker
        self.upstream: UpstreamConnection | None = None
        self.waiting = False
        self.picked = monotonic()
        self.reached = 0.0
        """As that of an exchange."""
        self.beside = 1

    @property
    def leads(self) -> bool:
        """Whether it is the only attempt that is left."""
        return self.backend is None

    def start(self) -> None:
        """Send."""
        backend = self.backend
        assert backend is not None
        backend.rows[backend.own + REQUESTS] += 1
        backend.rows[backend.own + IN_FLIGHT] += 1
        self.beside = backend.load()
        try:
            self.balancer.assigned(backend)
        except Exception:
            self.picker.balancer_failed(self.balancer)
        connection = backend.pool.acquire(False, self.picked)
        if connection is not None:
            self.connected(connection)
        else:
            self.waiting = True
            self.reached = NEVER
            backend.pool.wait(self)

    def cancel(self, outcome: int = CANCELLED) -> None:
        """It is not wanted any more."""
        x, backend = self.x, self.backend
        self.x = None
        if self.waiting:
            self.waiting = False
            pool = backend.pool if backend is not None else x.backend.pool  # type: ignore[union-attr]
            pool.cancel(self)
        if self.upstream is not None:
            self.upstream.discard()
            self.upstream = None
        self._let_go(outcome)

    def _let_go(self, outcome: int) -> None:
        """It is over for its backend."""
        backend, self.backend = self.backend, None
        if backend is not None:
            backend.rows[backend.own + IN_FLIGHT] -= 1
            now = monotonic()
            try:
                self.balancer.released(backend, Done(now - self.picked, outcome, now, self.beside))
            except Exception:
                self.picker.balancer_failed(self.balancer)

    def lead(self, x: Exchange, outcome: int) -> None:
        """The first attempt is gone, with this outcome: the exchange is at this backend from now on."""
        drop_backend(x, monotonic(), outcome)
        backend, self.backend = self.backend, None
        assert backend is not None
        x.asked = [*(x.asked or ()), x.backend_name]
        x.backend, x.backend_name, x.balancer = backend, backend.name, self.balancer
        x.picked, x.reached, x.beside = self.picked, self.reached, self.beside
        x.tries += 1
        x.waited = True
        x.upstream = self.upstream

    # --- what its connection tells ---

    def connected(self, connection: UpstreamConnection) -> None:
        x, now = self.x, monotonic()
        if self.waiting:
            self.waiting = False
            self.reached = now
        if x is None or x.payload is None:
            connection.discard()
            return
        self.upstream = connection
        if self.leads:
            x.upstream, x.reached = connection, self.reached
        connection.send(self, self.request_head(x), x.body, now + self.response_head)

    def request_head(self, x: Exchange) -> bytes:
        """The head that is sent: that of the first attempt."""
        assert x.payload is not None
        return x.payload

    def connect_failed(self, reason: Reason) -> None:
        x = self.x
        self.waiting = False
        if x is None:
            return
        x.hedge = None
        if self.leads:
            self.relay.connect_failed(x, reason)
        else:
            self._failed_beside(True)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        x = self.x
        assert x is not None
        if not self.leads:
            if head.status in x.group.spec.retry.statuses:  # type: ignore[union-attr]
                x.hedge = None
                self._judge(head.status)
                self.cancel(FAILED)
                return
            self.win(x)
        x.hedge = None
        x.upstream = None if complete else self.upstream
        self.relay.following.head(x, head, body_end, complete)

    def win(self, x: Exchange) -> None:
        """This is the first answer: the first attempt is closed."""
        group = self.relay.group
        group.count(U_HEDGES_WON)
        if group.hedger is not None:
            group.hedger.won += 1
        if x.waiting and x.backend is not None:
            x.waiting = False
            x.backend.pool.cancel(x)
        if x.upstream is not None:
            x.upstream.discard()
        self.lead(x, CANCELLED)

    def interim(self, head: ResponseHead) -> None:
        if self.leads and self.x is not None:
            self.relay.following.interim(self.x, head)

    def data(self, data: Any) -> None:
        if self.x is not None:
            self.relay.following.data(self.x, data)

    def end(self) -> None:
        if self.x is not None:
            self.relay.following.end(self.x)

    def failed(self, reason: Reason, silent: bool) -> None:
        x = self.x
        if x is None:
            return
        if self.leads:
            x.hedge = None
            self.relay.following.failed(x, reason, silent)
            return
        x.hedge = None
        self.upstream = None
        if silent:  # its connection was stale: no matter
            self._let_go(CANCELLED)
        else:
            self._failed_beside(False)

    def pause(self) -> None:
        """All that there is to send was sent."""

    def _failed_beside(self, connect: bool) -> None:
        """It has failed, and the first attempt goes on."""
        backend = self.backend
        if backend is not None:
            backend.count(FAILURES)
            self.relay.group.failed(backend, connect, True)
        self._let_go(FAILED)

    def _judge(self, status: int) -> None:
        backend = self.backend
        if backend is not None and status >= 500:
            backend.count(SERVER_ERRORS)
            if status in GATEWAY_STATUSES:
                backend.count(GATEWAY_ERRORS)
            self.relay.group.failed(backend, False, status in GATEWAY_STATUSES)


class HedgedRelay(ReturnStage):
    """relay: as `following`, and decides what becomes of the second attempt."""

    def __init__(self, group: Group, following: ReturnStage) -> None:
        self.group = group
        self.following = following

    def room(self, x: Exchange) -> None:
        self.following.room(x)

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        self.following.connected(x, connection)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        if x.hedge is not None and x.backend is not None:
            x.waiting = False
            if reason.retryable:
                x.backend.count(FAILURES)
                self.group.failed(x.backend, True, True)
            self._second_leads(x)
            return
        self.following.connect_failed(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        self._keep_first(x)
        self.following.interim(x, head)

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        if x.hedge is not None and head.status in self.group.spec.retry.statuses:
            self._judge(x, head.status)
            if not complete and x.upstream is not None:
                x.upstream.discard()
            self._second_leads(x)
            return
        self._keep_first(x)
        self.following.head(x, head, body_end, complete)

    def data(self, x: Exchange, data: Any) -> None:
        self.following.data(x, data)

    def end(self, x: Exchange) -> None:
        self.following.end(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        if x.hedge is not None and not x.responding and x.backend is not None:
            if not silent:
                x.backend.count(FAILURES)
                self.group.failed(x.backend, False, True)
            self._second_leads(x)
            return
        self.following.failed(x, reason, silent)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        self.following.switched(x, head)

    def _second_leads(self, x: Exchange) -> None:
        """The first attempt has failed: the second is the only one, and no further one goes to that backend."""
        assert x.backend is not None
        x.tried = [*(x.tried or ()), x.backend]
        x.hedge.lead(x, FAILED)

    def _keep_first(self, x: Exchange) -> None:
        if x.hedge is not None:
            attempt, x.hedge = x.hedge, None
            attempt.cancel()

    def _judge(self, x: Exchange, status: int) -> None:
        backend = x.backend
        if backend is not None and status >= 500:
            backend.count(SERVER_ERRORS)
            self.group.failed(backend, False, status in GATEWAY_STATUSES)
