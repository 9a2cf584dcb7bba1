"""`qantara explain`: the backend that sticky sessions select for a request.

Law of this file: it calls the code of the data path, and a lookup does not count as a use of the session.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic, monotonic_ns
from typing import Any

from ..exchange import Exchange
from ..features.sticky.sessions import sessions_on
from ..features.sticky.spec import StickyRouteSpec
from ..features.sticky.stages import LearnedKey, StickyKey
from ..scoreboard import Scoreboard
from ..upstream.backend import Backend


def explain_sticky(
    spec: StickyRouteSpec,
    balancer: Any,
    members: Sequence[Backend],
    key: StickyKey,
    x: Exchange,
    *,
    board: Scoreboard | None,
) -> dict[str, Any]:
    """The backend that the session of a request leads to, and why. `balancer` is the sticky one of the upstream."""
    cookie, session, tokens = spec.cookie, spec.session, balancer.tokens
    by = f"cookie {cookie.name.decode()}" if cookie is not None else (session.source if session is not None else "")
    given = key.request_session(x.head) if isinstance(key, LearnedKey) else key.presented(x)
    if given is None:
        return {"by": by, "leads_to": None, "why": "the request has none"}
    balancer.now_ns = monotonic_ns()  # no tick reaches a plan that serves nothing
    found: Backend | None = None
    if cookie is not None:
        found = tokens.by_token(members).get(given)
    elif session is not None and board is not None:
        name = _remembered(spec.tokens.upstream, session.ttl, given, board)
        found = next((backend for backend in members if backend.name == name), None)
    if found is None:
        return {"by": by, "leads_to": None, "why": "no backend is known by it"}
    if balancer.target(tokens.of(found)) is None:
        return {"by": by, "leads_to": None, "why": f"{found.name} cannot serve it now"}
    return {"by": by, "leads_to": found.name, "why": "it is usable"}


def _remembered(upstream: str, ttl: float, session: bytes, board: Scoreboard) -> str | None:
    row = sessions_on(board, upstream, ttl).peek(session, monotonic())
    names = {number: name for name, number in board.backends.rows.items()}
    return names.get(row, "").rpartition("\n")[2] or None
