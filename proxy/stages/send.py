"""send: the request head with the edits of the proxy, and the received part of the body; the rest is streamed.

Law of this file: sent bytes are buffered only while a retry is possible.
"""

from __future__ import annotations

from time import monotonic

from ..deadlines import NEVER
from ..exchange import Exchange, Stage
from ..http1.codec import HOST, X_FORWARDED_HOST, mask_of
from ..http1.codec import MAX_FORWARDS as H_MAX_FORWARDS
from ..plan import LinkContext, RouteSpec
from . import rewrite
from .retry import may_resend

DROP_MAX_FORWARDS = mask_of(H_MAX_FORWARDS)
DROP_HOST = mask_of(HOST)


class Send(Stage):
    """send: the last stage on the way to the backend."""

    def enter(self, x: Exchange) -> None:
        client, request, outgoing = x.client, x.head, x.outgoing
        assert client is not None
        peer = client.peer
        drop = peer.forwarded_drop
        outgoing.add_host = peer.forwarded_host
        if peer.forwarded_static and not x.http10:
            outgoing.fields = peer.forwarded
        else:
            outgoing.fields = rewrite.forwarding_fields(x)
            if peer.trusted and request.has(X_FORWARDED_HOST):
                outgoing.add_host = False
            if x.http10 and not request.has(HOST):
                drop |= DROP_HOST
                outgoing.fields = outgoing.fields.plus((rewrite.host_field(x),))
        if request.has(H_MAX_FORWARDS) and request.method == b"OPTIONS":
            outgoing.fields = outgoing.fields.plus(rewrite.max_forwards_field(x))
            drop |= DROP_MAX_FORWARDS
        outgoing.drop = drop
        self.dispatch(x)

    def dispatch(self, x: Exchange) -> None:
        """Send it."""
        attempt, route, outgoing = x.attempt, x.route, x.outgoing
        upstream = attempt.upstream
        assert upstream is not None and route is not None
        outgoing.path = None
        if route.rewrites or route.raw_path:
            outgoing.path = rewrite.rewritten_path(x, route)
        outgoing.upgrade = x.upgrading
        outgoing.edits = x.request_edits
        attempt.head_only = x.head_only
        attempt.decode_body = x.decode_body
        attempt.upgrading = x.upgrading
        attempt.request_done = x.request_done
        attempt.response_head = route.response_head
        attempt.response_idle = route.response_idle
        attempt.head_at = 0.0
        attempt.report = None
        if x.request_done:
            x.replayable = True
            now = x.started if x.tries == 1 and not x.was_delayed else monotonic()
            upstream.send(attempt, outgoing, x.body, now + route.response_head)
        else:  # the time-out of the response head begins with the end of the request
            x.replayable = may_resend(x)
            client = x.client
            assert client is not None
            client.read_body()  # before the write, which may pause the reading
            upstream.send(attempt, outgoing, x.body, NEVER)


def link_send(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """On every route to an upstream, last."""
    return Send(following) if spec.group is not None else following
