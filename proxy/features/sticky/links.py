"""The links of sticky sessions: the token in the request key, and a response stage that issues or stores it.

Law of this file: a route to an upstream that is not sticky is linked without either.
"""

from __future__ import annotations

from functools import partial

from ...balancing.keys import make_key
from ...exchange import ResponseStage
from ...http1.codec import ResponseHead
from ...plan import LinkContext, RouteSpec
from ...stages.request_key import RequestKey
from .balancer import Tokens
from .sessions import Sessions, sessions_on
from .spec import StickyRouteSpec
from .stages import CookieKey, Learn, LearnedKey, SetCookie, set_cookie


def link_token(spec: RouteSpec, context: LinkContext, key: RequestKey | None) -> RequestKey | None:
    """The token of the session in front of the key."""
    sticky: StickyRouteSpec | None = spec.features.get("sticky")
    if sticky is None:
        return key
    if sticky.cookie is not None:
        return CookieKey(sticky.cookie.name, sticky.cookie.strip, key)
    assert sticky.session is not None
    return LearnedKey(make_key(sticky.session.source, None), sessions_of(spec, context, sticky), key)


def link_sticky(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """On the way back: set the cookie, or store the session and its backend."""
    sticky: StickyRouteSpec | None = spec.features.get("sticky")
    if sticky is None:
        return following
    cookie, session = sticky.cookie, sticky.session
    if cookie is not None:
        return SetCookie(Tokens(sticky.tokens), cookie.name, cookie.attributes, following)
    assert session is not None
    kind, _, name = session.source.partition(":")
    by_cookie, by_header = partial(set_cookie, name.encode() + b"="), partial(header_of, name.lower().encode())
    named = by_cookie if kind == "cookie" else by_header
    sessions = sessions_of(spec, context, sticky)
    return Learn(sticky.tokens.upstream, make_key(session.source, None), named, sessions, following)


def sessions_of(spec: RouteSpec, context: LinkContext, sticky: StickyRouteSpec) -> Sessions:
    """The table of the sessions of an upstream."""
    assert sticky.session is not None
    return sessions_on(context.runtime.board, sticky.tokens.upstream, sticky.session.ttl)


def header_of(name: bytes, head: ResponseHead) -> bytes | None:
    """The value of a response field that names the session."""
    return head.get(name)
