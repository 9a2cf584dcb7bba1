"""relay: the response of a backend, or its failure, on the way to the client.

Law of this file: a response is streamed with flow control on both sides, and not stored. Whether a failed request is
retried is decided here (how, in retry.py); the results of backends are counted in attempt.py.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ..errors import UPGRADE_REFUSED, Reason
from ..exchange import Exchange, ResponseStage
from ..http1.codec import UPGRADE, ResponseHead
from ..http1.framing import Trailers
from ..plan import LinkContext, RouteSpec
from ..scoreboard import FAILURES
from ..upstream.ports import UpstreamStream
from .attempt import blames_backend, judge, judge_failure, wait_for_connection
from .finish import finish, local_error
from .retry import pause_asked, resendable, retry, rewind

TIMED_OUT = 504


class Relay(ResponseStage):
    """relay: the last stage of the way back."""

    def connected(self, x: Exchange, stream: UpstreamStream) -> None:
        attempt, group, route = x.attempt, x.group, x.route
        assert group is not None and route is not None
        attempt.wait = None
        x.was_delayed = True
        attempt.connected_at = monotonic()
        group.stats.connect_seconds.observe(attempt.connected_at - attempt.picked)
        x.take(stream)
        route.send.enter(x)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        attempt = x.attempt
        attempt.wait = x.wait = None
        if attempt.backend is not None:
            if blames_backend(reason):
                judge_failure(x, attempt, True)
            if retry(x, 0.0, True):  # nothing was sent, so a retry is safe for any method
                return
        local_error(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        client = x.client
        assert client is not None
        if client.interim(x, head):
            x.interim_sent = True

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        client, attempt = x.client, x.attempt
        assert client is not None
        judge(x, attempt, head.status)
        if complete:
            attempt.upstream = x.source = None
        else:
            attempt.head_at = monotonic()
        if head.status >= 400 and self.tried_elsewhere(x, head):
            return
        x.responding = True
        x.status = head.status
        x.bytes_out += body_end - head.end
        client.respond(x, head, body_end, complete)
        if complete:
            finish(x)

    def tried_elsewhere(self, x: Exchange, head: ResponseHead) -> bool:
        """Whether the request is retried at another backend instead of passing on the error."""
        group = x.group
        assert group is not None
        if head.status not in group.spec.retry.statuses or not resendable(x):
            return False
        source, pause = x.source, pause_asked(x, head)
        if pause is None or not retry(x, pause):
            return False
        if source is not None:
            source.discard()
        return True

    def data(self, x: Exchange, data: Any) -> None:
        client = x.client
        assert client is not None
        x.bytes_out += len(data)
        if x.status == 101 and x.route is not None:
            client.tunnel_data(x, data, x.route.tunnel_idle)
        else:
            client.data(x, data)

    def end(self, x: Exchange, trailers: Trailers) -> None:
        client = x.client
        assert client is not None
        if x.status == 101:
            client.end_tunnel(x)
            return
        x.let_go()
        client.end(x, trailers)
        finish(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        attempt, group = x.attempt, x.group
        assert group is not None and attempt.backend is not None
        x.let_go()
        if x.responding:
            attempt.backend.count(FAILURES)
            local_error(x, reason)
            return
        if silent and not x.resent and resendable(x):
            rewind(x)
            x.resent = True  # the connection was stale: retry once at the same backend, invisibly to the client
            x.tries += 1
            wait_for_connection(attempt, True)
            return
        judge_failure(x, attempt, False)
        if reason.status == TIMED_OUT and group.overload.gradient is not None:
            group.overload.gradient.timeouts += 1
        spec = group.spec.retry
        # otherwise the backend has begun to respond, or the fault is the proxy's
        wanted = spec.timeouts if reason.status == TIMED_OUT else spec.errors and reason.stage == "send"
        if not (wanted and resendable(x) and retry(x)):
            local_error(x, reason)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        client, route, data = x.client, x.route, head.data
        assert client is not None and route is not None and data is not None
        x.attempt.head_at = monotonic()
        protocol = head.value(UPGRADE) or b""
        if protocol.lower() != (x.head.value(UPGRADE) or b"").lower():
            local_error(x, UPGRADE_REFUSED)  # it has switched, but to a protocol that this route may not allow
            return
        x.responding = True
        x.status = 101
        client.tunnel(x, head, protocol, route.tunnel_idle)
        x.bytes_out += len(data) - head.end


def link_relay(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """On every route to an upstream, last."""
    return Relay(following) if spec.group is not None else following
