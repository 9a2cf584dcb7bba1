"""Sticky upstreams: from what the configuration says to the specs that a route is linked from.

Law of this file: what signs cookies is the same in every worker and after every restart. Without a secret of the user's
it is derived from the machine's identity, which systemd asks to be used in just this way (machine-id(5)) and which a
client cannot know; in a container without one, from the identity of the kernel's boot. A file that holds a secret is
read with the configuration, and by nobody after that: what it says later counts from the next reload on.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from pathlib import Path

from ..features.sticky.balancer import StickySpec
from ..features.sticky.spec import CookieSpec, SessionSpec, StickyRouteSpec
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


def sticky_route_spec(sticky: Sticky, tokens: StickySpec, route: Route) -> StickyRouteSpec:
    """What keeps the clients of a route at their backends."""
    cookie, learned = sticky.cookie, sticky.learn
    if cookie is not None:
        strip = cookie.strip and not touches(route.request_headers, "cookie")
        return StickyRouteSpec(tokens, CookieSpec(cookie.name.encode(), attributes_of(cookie).encode(), strip))
    assert learned is not None
    return StickyRouteSpec(tokens, session=SessionSpec(learned.session, learned.ttl))


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
