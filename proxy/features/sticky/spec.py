"""The specs of sticky sessions.

Law of this file: plain values that can be pickled.
"""

from __future__ import annotations

from typing import NamedTuple

from .balancer import StickySpec


class CookieSpec(NamedTuple):
    """The cookie that holds the token. `attributes` begin with "; "."""

    name: bytes
    attributes: bytes
    strip: bool = True
    """Whether it is removed from the request to the backend."""


class SessionSpec(NamedTuple):
    """The source of a session id, header:NAME or cookie:NAME, and the seconds after which an unused session expires."""

    source: str
    ttl: float


class StickyRouteSpec(NamedTuple):
    """Sticky sessions of a route: by a cookie of the proxy, or by a session id of the application."""

    tokens: StickySpec
    cookie: CookieSpec | None = None
    session: SessionSpec | None = None
