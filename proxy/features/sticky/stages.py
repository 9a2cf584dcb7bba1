"""Sticky sessions on the path of a request: which backend a client says that it is at, and telling it.

Law of this file: linked only where an upstream is sticky. What a client says is looked up, never read for meaning: what
is not exactly what the proxy or a backend has told somebody is as if nothing had been said. A backend that answers with
a 5xx is nothing to stick to, so clients are not told of it.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from ...balancing.keys import Key
from ...exchange import Exchange, ResponseStage
from ...http1.codec import HeaderEdits, ResponseHead
from ...plan import RoutePlan
from ...stages.request_key import RequestKey
from .balancer import TOKEN_LENGTH, Marks, packed, row_of
from .sessions import Sessions

NOTHING = HeaderEdits()
PRIVATE = (b"Cache-Control", b"private")
CACHED = frozenset((b"GET", b"HEAD"))
"""Methods whose responses caches keep."""

Named = Callable[[ResponseHead], bytes | None]
"""What a response says is the session."""


class StickyKey(RequestKey):
    """The mark that a request has, in front of the algorithm's key."""

    def __init__(self, key: RequestKey | None) -> None:
        super().__init__(key.parts if key is not None else ())
        self.key = key

    def of(self, x: Exchange) -> bytes:
        key = self.key.of(x) if self.key is not None else None
        if x.tried is not None:  # it has left the backend that it was at
            return packed(None, key)
        x.sticky_token = self.mark(x)
        return packed(x.sticky_token, key)

    def mark(self, x: Exchange) -> bytes | None:
        """What a request says of its backend; None if nothing, or nothing that it can have been told."""
        raise NotImplementedError


# --- by a cookie that the proxy sets ----------------------------------------------------------------------------------


class CookieKey(StickyKey):
    """The mark is the value of a cookie, which the backend does not get if it is to be stripped."""

    def __init__(self, name: bytes, strip: bool, key: RequestKey | None) -> None:
        super().__init__(key)
        self.prefix = name + b"="
        self.strip = strip

    def mark(self, x: Exchange) -> bytes | None:
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
    """Sets a cookie for the backend that answers, unless the client has it.

    A cache that serves several clients would hand that cookie to all of them, so such a response is private, whatever
    else it says of caches; one without the cookie is not touched.
    """

    def __init__(self, marks: Marks, name: bytes, attributes: bytes, following: ResponseStage) -> None:
        super().__init__(following)
        self.marks = marks
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
        mark = self.marks.of(backend)
        if mark != x.sticky_token and head.status < 500:
            fields: tuple[tuple[bytes, bytes], ...] = ((b"Set-Cookie", self.start + mark + self.attributes),)
            if x.head.method in CACHED and shared(route, head):
                fields += (PRIVATE,)
            x.response_edits = (NOTHING if edits is None else edits).plus(fields)


def shared(route: RoutePlan, head: ResponseHead) -> bool:
    """Whether a cache that serves several clients might keep a response, after what the route changes in it."""
    values, edits = head.get_all(b"cache-control"), route.response_edits
    if edits is not None:
        if b"cache-control" in edits.names:
            values = []
        values = [*values, *(value for name, value in edits.fields if name.lower() == b"cache-control")]
    if not values:
        return True
    said = {word.strip().lower() for value in values for word in value.split(b",")}
    return b"private" not in said and b"no-store" not in said


# --- by what a backend calls the session ------------------------------------------------------------------------------


class LearnedKey(StickyKey):
    """The mark is remembered for the session that `asked` finds in a request."""

    def __init__(self, asked: Key, sessions: Sessions, key: RequestKey | None) -> None:
        super().__init__(key)
        self.asked = asked
        self.sessions = sessions

    def mark(self, x: Exchange) -> bytes | None:
        session = self.asked(x.head)
        if not session:
            return None
        row = self.sessions.find(session, x.started)
        return b"%d" % row if row >= 0 else None


class Learn(ResponseStage):
    """Remembers the backend of a session: the one that has `named` it, and where it was answered since."""

    def __init__(self, upstream: str, asked: Key, named: Named, sessions: Sessions, following: ResponseStage) -> None:
        super().__init__(following)
        self.upstream = upstream
        self.asked = asked
        self.named = named
        self.sessions = sessions

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        if head.status < 500:
            self.learn(x, head)
        self.next.head(x, head, body_end, complete)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        self.learn(x, head)
        self.next.switched(x, head)

    def learn(self, x: Exchange, head: ResponseHead) -> None:
        """A session that the response names; or that of the request, if it was known and has moved."""
        backend = x.attempt.backend
        assert backend is not None
        session = self.named(head)
        if not session and x.sticky_token is None:
            return
        row = row_of(backend, self.upstream)
        if not session and x.sticky_token != b"%d" % row:
            session = self.asked(x.head)
        if session:
            self.sessions.keep(session, row, monotonic())


def set_cookie(prefix: bytes, head: ResponseHead) -> bytes | None:
    """The value that a response gives the cookie `prefix` (its name with "=" behind); None if it does not set it."""
    for line in head.get_all(b"set-cookie"):
        pair = line.partition(b";")[0].strip()
        if pair.startswith(prefix):
            return pair[len(prefix) :]
    return None
