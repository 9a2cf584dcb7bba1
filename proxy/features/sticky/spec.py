"""What a route is linked from where its upstream is sticky.

Law of this file: plain values that can be pickled.
"""

from __future__ import annotations

from typing import NamedTuple

from .balancer import StickySpec


class CookieSpec(NamedTuple):
    """The cookie that names a backend. `attributes` begin with "; "."""

    name: bytes
    attributes: bytes
    strip: bool = True
    """Whether the backend does not get it."""


class SessionSpec(NamedTuple):
    """What names a session, header:NAME or cookie:NAME, and the seconds after which an unused one is forgotten."""

    source: str
    ttl: float


class StickyRouteSpec(NamedTuple):
    """How clients of a route stay at their backend: by a cookie of the proxy's, or by the session of a backend's."""

    tokens: StickySpec
    cookie: CookieSpec | None = None
    session: SessionSpec | None = None
