"""route: the route of a request; and the stages of local replies.

Law of this file: a reply that is the same for every request is made once, when the route is linked.
"""

from __future__ import annotations

from ..errors import FIXED, NO_ROUTE, REDIRECT, Reason
from ..exchange import Exchange, Stage
from ..http.local_replies import Fields, LocalReply, proxy_status
from ..plan import LinkContext, RouteSpec
from .finish import local_error, local_reply
from .rewrite import PLACEHOLDER, location


def start(x: Exchange) -> None:
    """route: find the route, and enter its first stage."""
    plan, client = x.plan, x.client
    assert plan is not None and client is not None
    route = plan.routes.find(x.head)
    if route is None:
        client.deadline = x.started + plan.settings.body_idle
        local_error(x, NO_ROUTE)
        return
    x.route = route
    x.back = route.back
    x.request_edits = route.request_edits
    x.response_edits = route.response_edits
    client.deadline = x.started + route.request_timeout
    first: Stage = route.first
    first.enter(x)


class Fixed(Stage):
    """Responds with a fixed response: `fields`, and Proxy-Status with the pseudonym `via` of this proxy."""

    def __init__(self, reason: Reason, fields: Fields, body: bytes, via: str) -> None:
        super().__init__()
        self.reply = LocalReply(reason, (*fields, proxy_status(via, reason)), body)

    def enter(self, x: Exchange) -> None:
        local_reply(x, self.reply)


class Redirect(Stage):
    """Responds with a redirect to `to`; its placeholders are replaced per request."""

    def __init__(self, reason: Reason, to: str, via: str) -> None:
        super().__init__()
        self.reason = reason
        self.to = to
        self.status = proxy_status(via, reason)

    def enter(self, x: Exchange) -> None:
        local_reply(x, LocalReply(self.reason, (("Location", location(self.to, x)), self.status)))


def redirect(reason: Reason, to: str, via: str) -> Stage:
    """The stage of a redirect."""
    if PLACEHOLDER.search(to):
        return Redirect(reason, to, via)
    return Fixed(reason, (("Location", to),), b"", via)


def link_answer(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """The last stage of a route with a local reply."""
    via = context.settings.via or "qantara"
    if spec.redirect is not None:
        return redirect(REDIRECT._replace(status=spec.redirect.status), spec.redirect.to, via)
    found = spec.respond
    if found is None:
        return following
    fields = (("Content-Type", found.content_type), *found.headers) if found.body else found.headers
    return Fixed(FIXED._replace(status=found.status), fields, found.body, via)
