"""Sticky upstreams: from what the configuration says to the parts of a pipeline, and what it would do with a request.

Law of this file: what signs cookies is the same in every worker and after every restart. Without a secret of the user's
it is derived from the machine's identity, which systemd asks to be used in just this way (machine-id(5)) and which a
client cannot know; in a container without one, from the identity of the kernel's boot. A file that holds a secret is
read with the configuration, and by nobody after that: what it says later counts from the next reload on.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any, NamedTuple

from ..balancing.keys import make_key
from ..exchange import Exchange, Stage
from ..features.sticky.balancer import Marks, StickySpec
from ..features.sticky.sessions import Sessions
from ..features.sticky.stages import CookieKey, CookieRelay, LearnedKey, LearnedRelay, StickyKey, set_cookie
from ..http1.codec import ResponseHead
from ..limits.rate import salt_of
from ..scoreboard import Scoreboard
from ..stages.relay import Relay
from ..stages.request_key import RequestKey
from ..upstream.backend import Backend
from ..upstream.group import Group
from ..upstream.spec import GroupSpec
from .rules import Finding
from .schema import Config, ResponseHeaders, Route
from .sections.admin import SECRET_MIN
from .sections.sticky import Sticky, StickyCookie

IDENTITIES = (Path("/etc/machine-id"), Path("/proc/sys/kernel/random/boot_id"))


def sticky_specs(config: Config) -> tuple[dict[str, StickySpec], list[Finding]]:
    """How the sticky upstreams know backends again, and what is wrong with their secrets."""
    specs, findings = {}, []
    for name, upstream in config.upstreams.items():
        if upstream.sticky is None:
            continue
        try:
            specs[name] = sticky_spec(name, upstream.sticky)
        except ValueError as error:
            findings.append(Finding(("upstreams", name, "sticky", "cookie"), str(error)))
    return specs, findings


def sticky_of(specs: Mapping[str, GroupSpec]) -> dict[str, StickySpec]:
    """How the sticky upstreams of a plan know backends again."""
    return {name: spec.balance.sticky for name, spec in specs.items() if spec.balance.sticky is not None}


def sticky_spec(name: str, sticky: Sticky) -> StickySpec:
    """Raises ValueError if there is no secret to be had."""
    return StickySpec(name, () if sticky.cookie is None else secrets_of(sticky.cookie), sticky.draining)


def secrets_of(cookie: StickyCookie) -> tuple[bytes, ...]:
    """What a cookie is signed with, and after it what cookies were signed with before. Raises ValueError."""
    if cookie.secret_file is not None:
        return read_secrets(cookie.secret_file)
    first = cookie.secret.encode() if cookie.secret is not None else machine_secret()
    return (first, *(secret.encode() for secret in cookie.old_secrets))


def read_secrets(file: str) -> tuple[bytes, ...]:
    """The secrets of a file, one a line. Raises ValueError."""
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"secret_file: cannot read {file}: {error}") from error
    secrets = [line.strip() for line in lines if line.strip()]
    if not secrets:
        raise ValueError(f"secret_file: there is no secret in {file}")
    if any(len(secret) < SECRET_MIN for secret in secrets):
        raise ValueError(f"secret_file: a secret in {file} has fewer than {SECRET_MIN} characters")
    return tuple(secret.encode() for secret in secrets)


def machine_secret() -> bytes:
    """A secret of this machine's. Raises ValueError."""
    for path in IDENTITIES:
        try:
            identity = path.read_bytes().strip()
        except OSError:
            continue
        if len(identity) >= SECRET_MIN:
            return hmac.digest(identity, b"qantara sticky sessions", "sha256")
    raise ValueError("this machine has no identity to derive a secret from: give a secret or a secret_file")


class Stickiness(NamedTuple):
    """What the pipeline of a route needs for the stickiness of its upstream."""

    sticky: Sticky
    spec: StickySpec
    route: Route
    board: Scoreboard

    def key(self, key: RequestKey | None) -> StickyKey:
        """The key of requests: with the mark in front of what the algorithm goes by."""
        cookie, learned = self.sticky.cookie, self.sticky.learn
        if cookie is not None:
            strip = cookie.strip and not touches(self.route.request_headers, "cookie")
            return CookieKey(cookie.name.encode(), strip, key)
        assert learned is not None
        return LearnedKey(make_key(learned.session, None), self._sessions(), key)

    def relay(self, group: Group, pick: Stage, send: Stage) -> Relay:
        """The way back."""
        cookie, learned = self.sticky.cookie, self.sticky.learn
        if cookie is not None:
            marks, attributes = Marks(self.spec), attributes_of(cookie)
            return CookieRelay(group, pick, send, marks, cookie.name.encode(), attributes.encode())
        assert learned is not None
        kind, _, name = learned.session.partition(":")
        named = (
            partial(set_cookie, name.encode() + b"=") if kind == "cookie" else partial(header_of, name.lower().encode())
        )
        asked = make_key(learned.session, None)
        return LearnedRelay(group, pick, send, self.spec.upstream, asked, named, self._sessions())

    def _sessions(self) -> Sessions:
        """Where the sessions of this upstream are remembered."""
        learned = self.sticky.learn
        assert learned is not None
        return sessions_on(self.board, self.spec.upstream, learned.ttl)


def sessions_on(board: Scoreboard, upstream: str, ttl: float) -> Sessions:
    """The sessions of an upstream on a board."""
    return Sessions(board.sessions(), salt_of(board.secret(), f"sticky {upstream}"), ttl)


def header_of(name: bytes, head: ResponseHead) -> bytes | None:
    return head.get(name)


def touches(headers: ResponseHeaders, name: str) -> bool:
    """Whether a header is replaced or removed by the route."""
    return name in {each.lower() for each in (*headers.set, *headers.remove)}


def attributes_of(cookie: StickyCookie) -> str:
    """The attributes of a cookie (RFC 6265 4.1)."""
    attributes = f"; Path={cookie.path}"
    if cookie.domain is not None:
        attributes += f"; Domain={cookie.domain}"
    if cookie.max_age is not None:
        attributes += f"; Max-Age={max(1, int(cookie.max_age))}"
    attributes += "; HttpOnly" if cookie.http_only else ""
    attributes += f"; SameSite={cookie.same_site.capitalize()}"
    return attributes + ("; Secure" if cookie.secure else "")


# --- for people -------------------------------------------------------------------------------------------------------


def same_cookie(config: Config) -> Iterator[tuple[str, str, str]]:
    """Upstreams whose cookie overwrites that of another one before it, the other one, and where they meet."""
    seen: dict[tuple[str, str, str | None], list[str]] = {}
    for name, upstream in config.upstreams.items():
        cookie = upstream.sticky.cookie if upstream.sticky is not None else None
        if cookie is None:
            continue
        before = seen.setdefault((cookie.name, cookie.path, cookie.domain), [])
        hosts = _hosts(config, name)
        for other in before:
            if cookie.domain is not None or not hosts.isdisjoint(_hosts(config, other)):
                yield name, other, "at the same host" if cookie.domain is None else "in the same domain"
                break  # one is enough to know what is wrong
        before.append(name)


def _hosts(config: Config, upstream: str) -> set[str]:
    return {route.host for route in config.routes if route.upstream == upstream}


def explained(
    sticky: Sticky, balancer: Any, members: Sequence[Backend], key: StickyKey, x: Exchange, board: Scoreboard | None
) -> dict[str, Any]:
    """Where the stickiness of an upstream leads a request, and why. `balancer` is that before its algorithm."""
    cookie, learned, marks = sticky.cookie, sticky.learn, balancer.marks
    by = f"cookie {cookie.name}" if cookie is not None else (learned.session if learned is not None else "")
    given = key.asked(x.head) if isinstance(key, LearnedKey) else key.mark(x)
    if given is None:
        return {"by": by, "leads_to": None, "why": "the request has none"}
    balancer.now_ns = monotonic_ns()  # nobody ticks a plan that serves nothing
    found: Backend | None = None
    if cookie is not None:
        found = marks.known(members).get(given)
    elif learned is not None and board is not None:
        name = _remembered(marks.spec.upstream, learned.ttl, given, board)
        found = next((backend for backend in members if backend.name == name), None)
    if found is None:
        return {"by": by, "leads_to": None, "why": "no backend is known by it"}
    if balancer.target(marks.of(found)) is None:
        return {"by": by, "leads_to": None, "why": f"{found.name} cannot serve it now"}
    return {"by": by, "leads_to": found.name, "why": "it is usable"}


def _remembered(upstream: str, ttl: float, session: bytes, board: Scoreboard) -> str | None:
    row = sessions_on(board, upstream, ttl).look(session, monotonic())
    names = {number: name for name, number in board.backends.rows.items()}
    return names.get(row, "").rpartition("\n")[2] or None
