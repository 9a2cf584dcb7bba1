"""send and relay, hedged: if the response is late, a second backend gets the request too, and the first response wins.

Law of this file: exactly one attempt reaches the client; the other is closed, and counts neither for its backend nor
against it. An exchange has at most one second attempt, `x.hedge`, until the first response head; everything that ends
the exchange cancels it. Only requests that may be sent twice are hedged, and only while they are completely buffered.
"""

from __future__ import annotations

from time import monotonic

from ..balancing.base import CANCELLED, FAILED
from ..errors import Reason
from ..exchange import Attempt, Exchange, ResponseStage, Stage
from ..http1.codec import ResponseHead
from ..metrics import U_HEDGES, U_HEDGES_REFUSED, U_HEDGES_WON
from ..plan import LinkContext, RouteSpec
from ..upstream.backend import Backend
from ..upstream.group import Group
from ..upstream.picker import Picker
from ..upstream.ports import UpstreamStream
from .attempt import begin, blames_backend, cancel, drop, judge, judge_failure, wait_for_connection


class HedgedAttempt(Attempt):
    """A second attempt. Its events reach the way back once it has won."""

    @property
    def leads(self) -> bool:
        """Whether it is the only remaining attempt."""
        return self.x.attempt is self

    def start(self, backend: Backend) -> None:
        """Send the request to this second backend."""
        x, first = self.x, self.x.attempt
        begin(x, self, backend, first.balancer, monotonic())
        self.head_only, self.decode_body = x.head_only, x.decode_body
        self.response_head, self.response_idle = first.response_head, first.response_idle
        connection = backend.pool.acquire(False, self.picked)
        if connection is not None:
            self.send(connection)
        else:
            wait_for_connection(self, False)

    def connected(self, stream: UpstreamStream) -> None:
        self.wait = None
        self.connected_at = monotonic()
        self.send(stream)

    def send(self, stream: UpstreamStream) -> None:
        """Send the same request as the first attempt."""
        x = self.x
        self.upstream = stream
        if self.leads:
            x.source = stream
        self.address(x)
        stream.send(self, x.outgoing, x.body, monotonic() + self.response_head)

    def address(self, x: Exchange) -> None:
        """Set the parts of the outgoing request that depend on the attempt."""

    def cancel(self, outcome: int = CANCELLED) -> None:
        """Cancel the attempt."""
        cancel(self)
        drop(self.x, self, monotonic(), outcome)

    def lead(self, outcome: int) -> None:
        """Take the place of the first attempt, which is over with this outcome."""
        x, first = self.x, self.x.attempt
        wait, x.wait = x.wait, None
        if wait is not None:  # a response of the first that is held back
            wait.cancel()
        cancel(first)
        drop(x, first, monotonic(), outcome)
        self.queued_for = first.queued_for
        x.attempted = [*(x.attempted or ()), first.backend_name]
        x.attempt = self
        x.hedge = None
        x.source = self.upstream
        x.tries += 1
        x.was_delayed = True

    # --- called by its connection ---

    def connect_failed(self, reason: Reason) -> None:
        self.wait = None
        if self.leads:
            self.x.back.connect_failed(self.x, reason)
        else:
            if blames_backend(reason):
                judge_failure(self.x, self, True)
            self.failed_beside(FAILED)

    def interim(self, head: ResponseHead) -> None:
        if self.leads:
            self.x.back.interim(self.x, head)

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        x, group = self.x, self.x.group
        assert group is not None
        if not self.leads:
            if complete:
                self.upstream = None
            if head.status in group.spec.retry.statuses:
                judge(x, self, head.status)
                self.failed_beside(FAILED)
                return
            group.stats.count(U_HEDGES_WON)
            if group.hedger is not None:
                group.hedger.won += 1
            self.lead(CANCELLED)
        x.back.head(x, head, body_end, complete)

    def failed(self, reason: Reason, silent: bool) -> None:
        x = self.x
        if self.leads:
            x.back.failed(x, reason, silent)
            return
        self.upstream = None
        if not silent:  # else its connection was stale, which is not a failure of the backend
            judge_failure(x, self, False)
        self.failed_beside(CANCELLED if silent else FAILED)

    def failed_beside(self, outcome: int) -> None:
        """End this attempt; the first one continues."""
        self.x.hedge = None
        self.cancel(outcome)

    def pause(self) -> None:
        """Ignored: the whole request has been sent."""

    def resume(self) -> None:
        """As `pause`."""


class HedgedSend(Stage):
    """send: enters the next stage, and schedules the second attempt."""

    def __init__(self, group: Group, following: Stage, attempt: type[HedgedAttempt] = HedgedAttempt) -> None:
        super().__init__(following)
        self.group = group
        self.attempt = attempt
        """The factory of second attempts."""

    def enter(self, x: Exchange) -> None:
        self.next.enter(x)
        hedger = self.group.hedger
        if hedger is not None and x.attempt.upstream is not None and hedgeable(x):
            hedger.watch(x, monotonic() if x.was_delayed else x.started, self)

    def hedge(self, x: Exchange) -> None:
        """The response is late: start a second attempt, if a backend has a free slot and the budget allows it."""
        group, picker, first = self.group, x.picker, x.attempt
        if first.upstream is None or x.responding or x.hedge is not None or not hedgeable(x):
            return
        if picker is None or first.backend is None or picker.panicking:
            return
        if group.queues.waiting or not group.overload.has_room(1):
            return
        backend = self.another(x, picker, [first.backend, *(x.tried or ())])
        if backend is None or not group.overload.below_limit(backend):
            return
        if not group.retry_budget.withdraw():
            group.stats.count(U_HEDGES_REFUSED)
            return
        group.stats.count(U_HEDGES)
        x.hedge = second = self.attempt(x)
        second.start(backend)

    def another(self, x: Exchange, picker: Picker, tried: list[Backend]) -> Backend | None:
        """The backend of the second attempt."""
        try:
            return picker.another(tried, x.key)
        except Exception:
            picker.balancer_failed(picker.balancer)
            return None


def hedgeable(x: Exchange) -> bool:
    """Whether a request that was sent may be sent to another backend beside it."""
    return (
        x.request_done
        and x.replayable
        and x.replay_body is None
        and x.head.idempotent
        and not x.upgrading
        and x.sticky_token is None  # a sticky session must not reach another backend
        and not x.interim_sent
        and not x.http10
    )


class HedgedReturn(ResponseStage):
    """relay: applies events of the first attempt to the second one."""

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        if x.hedge is None or x.attempt.backend is None:
            self.next.connect_failed(x, reason)
            return
        x.attempt.wait = None
        if blames_backend(reason):
            judge_failure(x, x.attempt, True)
        self.second_leads(x)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        self.first_counts(x)
        self.next.interim(x, head)

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        hedge, group = x.hedge, x.group
        assert group is not None
        if hedge is not None and head.status in group.spec.retry.statuses:
            judge(x, x.attempt, head.status)
            if complete:
                x.let_go()
            self.second_leads(x)
            return
        self.first_counts(x)
        self.next.head(x, head, body_end, complete)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        if x.hedge is None or x.responding or x.attempt.backend is None:
            self.next.failed(x, reason, silent)
            return
        x.let_go()
        if not silent:
            judge_failure(x, x.attempt, False)
        self.second_leads(x)

    def second_leads(self, x: Exchange) -> None:
        """The first attempt has failed: the second remains, and its backend is excluded from retries."""
        assert x.attempt.backend is not None
        x.tried = [*(x.tried or ()), x.attempt.backend]
        x.hedge.lead(FAILED)

    def first_counts(self, x: Exchange) -> None:
        """The first attempt has won: cancel the second."""
        if x.hedge is not None:
            hedge, x.hedge = x.hedge, None
            hedge.cancel()


def link_hedged_return(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """Where the upstream is hedged."""
    return HedgedReturn(following) if spec.group is not None and spec.group.retry.hedge is not None else following
