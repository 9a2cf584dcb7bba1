"""Sticky sessions: how a client stays at its backend."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, PlainSerializer, model_validator

from .. import values as units
from ..fields import Duration, File, List, Section, Token, bare, duration
from ..render import SECRET
from .admin import check_secret

TTL_MOST = 90 * 24 * 3600.0
"""Seconds: what the table of sessions can tell apart is a little more (features/sticky/sessions.py)."""


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
    """What names a session, in requests and in responses."""
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
    """The name of the cookie. Upstreams that the same client uses at one host need different names, or paths."""
    path: Annotated[str, AfterValidator(check_cookie_path)] = "/"
    """Its Path attribute."""
    domain: Annotated[str, AfterValidator(check_domain)] | None = None
    """Its Domain attribute; the host that was asked if absent."""
    max_age: Duration | None = None
    """How long the client keeps it, in whole seconds; until the browser is closed if absent."""
    http_only: bool = True
    """Whether scripts cannot read it."""
    same_site: Literal["strict", "lax", "none"] = "lax"
    """Whether it is sent with requests that other sites have caused."""
    secure: bool = False
    """Whether the client sends it over TLS only; set it where all clients come by TLS."""
    secret: Secret | None = None
    """What the cookie is signed with, the same on all proxies that serve the same clients. If absent, it is derived
    from the identity of this machine."""
    old_secrets: Annotated[List[Secret], SECRET] = ()
    """Secrets of before: cookies that were signed with one are known still, and set anew."""
    secret_file: File | None = None
    """A file that holds the secret, so that it need not stand here; further lines are old ones."""
    strip: bool = True
    """Whether it is taken out of the request before the backend gets it."""

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
    """What a backend names the session in, and the client in further requests: header:NAME or cookie:NAME."""
    ttl: Annotated[Duration, AfterValidator(check_ttl)] = duration("1h")
    """A session that is unused for so long is forgotten."""


class Sticky(Section):
    """Exactly one of cookie and learn."""

    cookie: StickyCookie | None = None
    """The proxy sets a signed cookie that names the backend."""
    learn: Annotated[StickyLearned, bare("session", StickyLearned)] | None = None
    """The proxy remembers which backend has named a session; a bare string says in what it does."""
    draining: bool = True
    """Whether backends that are drained or have a weight of 0 keep the sessions that they have."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.cookie is None) == (self.learn is None):
            raise ValueError("needs exactly one of cookie and learn; write {cookie: {}} for the usual")
        return self
