"""Sticky sessions on the path of a request: the token is read from the request, and issued with the response.

Law of this file: linked only where an upstream is sticky. A token is looked up, not parsed: one that was not issued
counts as absent. A response with a status of 500 and above issues and stores nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from ...balancing.keys import Key
from ...exchange import Exchange, ResponseStage
from ...http1.codec import HeaderEdits, ResponseHead
from ...plan import RoutePlan
from ...stages.request_key import RequestKey
from .balancer import TOKEN_LENGTH, Tokens, packed, row_of
from .sessions import Sessions

NOTHING = HeaderEdits()
PRIVATE = (b"Cache-Control", b"private")
CACHED = frozenset((b"GET", b"HEAD"))
"""Methods with cacheable responses."""

ResponseSession = Callable[[ResponseHead], bytes | None]
"""The session id in a response, None without one."""


class StickyKey(RequestKey):
    """The token of a request, packed with the algorithm's key."""

    def __init__(self, key: RequestKey | None) -> None:
        super().__init__(key.parts if key is not None else ())
        self.key = key

    def of(self, x: Exchange) -> bytes:
        key = self.key.of(x) if self.key is not None else None
        if x.tried is not None:  # a retry leaves the backend that has failed
            return packed(None, key)
        x.sticky_token = self.presented(x)
        return packed(x.sticky_token, key)

    def presented(self, x: Exchange) -> bytes | None:
        """The token of a request; None without one, or if it cannot have been issued."""
        raise NotImplementedError


# --- by a cookie that the proxy sets ----------------------------------------------------------------------------------


class CookieKey(StickyKey):
    """Takes the token from a cookie, which `strip` removes from the request to the backend."""

    def __init__(self, name: bytes, strip: bool, key: RequestKey | None) -> None:
        super().__init__(key)
        self.prefix = name + b"="
        self.strip = strip

    def presented(self, x: Exchange) -> bytes | None:
        value: bytes | None = None
        others = []
        for line in x.head.get_all(b"cookie"):
            if not self.strip and self.prefix not in line:
                continue
            for pair in line.split(b";"):
                pair = pair.strip()
                if not pair.startswith(self.prefix):
                    others.append(pair)
                elif value is None:  # of several the first counts, which is that of the longest path (RFC 6265 5.4)
                    value = pair[len(self.prefix) :]
                    if not self.strip:
                        return value if len(value) == TOKEN_LENGTH else None
        if value is None:
            return None
        if x.route is not None:
            edits = x.route.request_edits
            kept = ((b"Cookie", b"; ".join(others)),) if others else ()
            x.request_edits = (NOTHING if edits is None else edits).plus(kept, b"cookie")
        return value if len(value) == TOKEN_LENGTH else None


class SetCookie(ResponseStage):
    """Sets the cookie for the backend that has responded, unless the request had the same token.

    A shared cache would give that cookie to all clients, so a response with it becomes `Cache-Control: private`; one
    without it is not changed.
    """

    def __init__(self, tokens: Tokens, name: bytes, attributes: bytes, following: ResponseStage) -> None:
        super().__init__(following)
        self.tokens = tokens
        self.start = name + b"="
        self.attributes = attributes

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.set(x, head)
        self.next.head(x, head, body_end, complete)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        self.set(x, head)
        self.next.switched(x, head)

    def set(self, x: Exchange, head: ResponseHead) -> None:
        """Add the fields to the response."""
        backend, route = x.attempt.backend, x.route
        assert backend is not None and route is not None
        edits = x.response_edits
        token = self.tokens.of(backend)
        if token != x.sticky_token and head.status < 500:
            fields: tuple[tuple[bytes, bytes], ...] = ((b"Set-Cookie", self.start + token + self.attributes),)
            if x.head.method in CACHED and shared(route, head):
                fields += (PRIVATE,)
            x.response_edits = (NOTHING if edits is None else edits).plus(fields)


def shared(route: RoutePlan, head: ResponseHead) -> bool:
    """Whether a shared cache might store a response, with the edits of the route applied (RFC 9111 3)."""
    values, edits = head.get_all(b"cache-control"), route.response_edits
    if edits is not None:
        if b"cache-control" in edits.names:
            values = []
        values = [*values, *(value for name, value in edits.fields if name.lower() == b"cache-control")]
    if not values:
        return True
    directives = {word.strip().lower() for value in values for word in value.split(b",")}
    return b"private" not in directives and b"no-store" not in directives


# --- by the session id of the application -----------------------------------------------------------------------------


class LearnedKey(StickyKey):
    """Takes the token from the session table, by the session id in the request."""

    def __init__(self, request_session: Key, sessions: Sessions, key: RequestKey | None) -> None:
        super().__init__(key)
        self.request_session = request_session
        self.sessions = sessions

    def presented(self, x: Exchange) -> bytes | None:
        session = self.request_session(x.head)
        if not session:
            return None
        row = self.sessions.find(session, x.started)
        return b"%d" % row if row >= 0 else None


class Learn(ResponseStage):
    """Stores the backend of a session: the one that has issued the session id, or has served the session since."""

    def __init__(
        self,
        upstream: str,
        request_session: Key,
        response_session: ResponseSession,
        sessions: Sessions,
        following: ResponseStage,
    ) -> None:
        super().__init__(following)
        self.upstream = upstream
        self.request_session = request_session
        self.response_session = response_session
        self.sessions = sessions

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        if head.status < 500:
            self.learn(x, head)
        self.next.head(x, head, body_end, complete)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        self.learn(x, head)
        self.next.switched(x, head)

    def learn(self, x: Exchange, head: ResponseHead) -> None:
        """Store the session in the response; or that of the request, if it was known and its backend has changed."""
        backend = x.attempt.backend
        assert backend is not None
        session = self.response_session(head)
        if not session and x.sticky_token is None:
            return
        row = row_of(backend, self.upstream)
        if not session and x.sticky_token != b"%d" % row:
            session = self.request_session(x.head)
        if session:
            self.sessions.keep(session, row, monotonic())


def set_cookie(prefix: bytes, head: ResponseHead) -> bytes | None:
    """The value in Set-Cookie of the cookie `prefix` (its name and "="), None without one."""
    for line in head.get_all(b"set-cookie"):
        pair = line.partition(b";")[0].strip()
        if pair.startswith(prefix):
            return pair[len(prefix) :]
    return None
