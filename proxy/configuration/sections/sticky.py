"""Sticky sessions: by a signed cookie, or by a session id of the application.

Law of this file: the secret of cookies is the same in every worker and after every restart. By default it is derived
from the machine id by a keyed hash, as machine-id(5) requires, so that clients cannot know it; in a container without
one, from the boot id of the kernel. The file of a secret is read with the configuration only: a change takes effect at
the next reload.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, PlainSerializer, model_validator

from ...errors import RefusedAt
from .. import values as units
from ..fields import Duration, File, List, Section, Token, bare, duration
from ..findings import Finding
from ..render import SECRET
from .admin import SECRET_MIN, check_secret
from .headers import ResponseHeaders

if TYPE_CHECKING:
    from ...features.sticky.balancer import StickySpec
    from ...features.sticky.spec import StickyRouteSpec
    from ..schema import Config
    from ..site import Site

TTL_MOST = 90 * 24 * 3600.0
"""Seconds, a little below the range of the session table (features/sticky/sessions.py)."""


def check_cookie_path(value: str) -> str:
    if not re.fullmatch(r"/[!-:<-~]*", value):
        raise ValueError('must begin with "/" and hold neither spaces nor ";"')
    return value


def check_domain(value: str) -> str:
    domain = value.lower().removeprefix(".")
    if not units.is_host_name(domain):
        raise ValueError(f"must be a domain such as example.com, not {units.quoted(value)}")
    return domain


def check_session(value: str) -> str:
    """The source of a session id, in requests and in responses."""
    kind, _, name = units.check_key(value).partition(":")
    if kind not in ("header", "cookie"):
        raise ValueError(f"must be header:NAME or cookie:NAME, not {units.quoted(value)}")
    return f"{kind}:{units.check_header_but_host(name)}" if kind == "header" else value


def check_ttl(value: float) -> float:
    if value > TTL_MOST:
        raise ValueError(f"must be at most {TTL_MOST / 3600:.0f}h")
    return value


Secret = Annotated[str, AfterValidator(check_secret), PlainSerializer(lambda _: "(not shown)", str)]


class StickyCookie(Section):
    name: Token = "qantara_route"
    """The name of the cookie. Upstreams under one host need different names, or paths."""
    path: Annotated[str, AfterValidator(check_cookie_path)] = "/"
    """Its Path attribute."""
    domain: Annotated[str, AfterValidator(check_domain)] | None = None
    """Its Domain attribute; the host of the request if absent."""
    max_age: Duration | None = None
    """Its Max-Age attribute, in whole seconds; a session cookie if absent."""
    http_only: bool = True
    """Its HttpOnly attribute: scripts cannot read it."""
    same_site: Literal["strict", "lax", "none"] = "lax"
    """Its SameSite attribute: whether it is sent with cross-site requests."""
    secure: bool = False
    """Its Secure attribute: it is sent over TLS only. Set it if all clients use TLS."""
    secret: Secret | None = None
    """The secret of the signature, the same on all proxies that serve the same clients. If absent, it is derived
    from the identity of this machine."""
    old_secrets: Annotated[List[Secret], SECRET] = ()
    """Previous secrets: cookies signed with one are accepted, and replaced."""
    secret_file: File | None = None
    """A file that contains the secret in its first line, and previous ones in further lines."""
    strip: bool = True
    """Whether the cookie is removed from the request to the backend."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.secret_file is not None and (self.secret is not None or self.old_secrets):
            raise ValueError("has secrets here and a secret_file; give one of the two")
        if self.same_site == "none" and not self.secure:
            raise ValueError("same_site: none needs secure: true, or browsers refuse the cookie")
        name = self.name.lower()
        if name.startswith(("__host-", "__secure-")) and not self.secure:
            raise ValueError(f"the name {self.name} needs secure: true, or browsers refuse the cookie")
        if name.startswith("__host-") and (self.domain is not None or self.path != "/"):
            raise ValueError(f"the name {self.name} allows no domain, and no path but /")
        return self


class StickyLearned(Section):
    session: Annotated[str, AfterValidator(check_session)]
    """The source of the session id, in responses and in further requests: header:NAME or cookie:NAME."""
    ttl: Annotated[Duration, AfterValidator(check_ttl)] = duration("1h")
    """The time after which an unused session expires."""


class StickySection(Section):
    """Exactly one of cookie and learn."""

    cookie: StickyCookie | None = None
    """The proxy sets a signed cookie that names the backend."""
    learn: Annotated[StickyLearned, bare("session", StickyLearned)] | None = None
    """The proxy stores the backend that has issued a session id; a bare string is the source of the id."""
    draining: bool = True
    """Whether backends that are drained or have a weight of 0 keep their sessions."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.cookie is None) == (self.learn is None):
            raise ValueError("needs exactly one of cookie and learn; write {cookie: {}} for the usual")
        return self


ABOUT = "Sticky sessions: by a signed cookie, or by a session id of the application; null for none."
IDENTITIES = (FilePath("/etc/machine-id"), FilePath("/proc/sys/kernel/random/boot_id"))


def to_spec(sticky: StickySection, site: Site) -> StickySpec:
    """The secrets of the upstream's tokens. Raises RefusedAt if there is no secret."""
    from ...features.sticky.balancer import StickySpec

    try:
        return StickySpec(site.name, () if sticky.cookie is None else secrets_of(sticky.cookie), sticky.draining)
    except ValueError as error:
        raise RefusedAt(("cookie",), str(error)) from error


def secrets_of(cookie: StickyCookie) -> tuple[bytes, ...]:
    """The secret that signs cookies, then the previous ones. Raises ValueError."""
    if cookie.secret_file is not None:
        return read_secrets(cookie.secret_file)
    first = cookie.secret.encode() if cookie.secret is not None else machine_secret()
    return (first, *(secret.encode() for secret in cookie.old_secrets))


def read_secrets(file: str) -> tuple[bytes, ...]:
    """The secrets of a file, one a line. Raises ValueError."""
    try:
        lines = FilePath(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"secret_file: cannot read {file}: {error}") from error
    secrets = [line.strip() for line in lines if line.strip()]
    if not secrets:
        raise ValueError(f"secret_file: there is no secret in {file}")
    if any(len(secret) < SECRET_MIN for secret in secrets):
        raise ValueError(f"secret_file: a secret in {file} has fewer than {SECRET_MIN} characters")
    return tuple(secret.encode() for secret in secrets)


def machine_secret() -> bytes:
    """A secret derived from the identity of this machine. Raises ValueError."""
    for path in IDENTITIES:
        try:
            identity = path.read_bytes().strip()
        except OSError:
            continue
        if len(identity) >= SECRET_MIN:
            return hmac.digest(identity, b"qantara sticky sessions", "sha256")
    raise ValueError("this machine has no identity to derive a secret from: give a secret or a secret_file")


def route_spec(tokens: StickySpec, site: Site) -> StickyRouteSpec:
    """The sticky sessions of a route."""
    from ...features.sticky.spec import CookieSpec, SessionSpec, StickyRouteSpec

    sticky, route = site.upstream_section.sticky, site.route_section
    assert sticky is not None
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


def lint(config: Config) -> Iterator[Finding]:
    """Upstreams with a cookie that overwrites the one of an earlier upstream."""
    seen: dict[tuple[str, str, str | None], list[str]] = {}
    for name, upstream in config.upstreams.items():
        cookie = upstream.sticky.cookie if upstream.sticky is not None else None
        if cookie is None:
            continue
        before = seen.setdefault((cookie.name, cookie.path, cookie.domain), [])
        hosts = _hosts(config, name)
        for other in before:
            if cookie.domain is not None or not hosts.isdisjoint(_hosts(config, other)):
                where = "at the same host" if cookie.domain is None else "in the same domain"
                words = f"overwrites that of upstream {other} {where}: give it another name or path"
                yield Finding(("upstreams", name, "sticky", "cookie"), words)
                break  # one finding per upstream
        before.append(name)


def _hosts(config: Config, upstream: str) -> set[str]:
    return {route.host for route in config.routes if route.upstream == upstream}
