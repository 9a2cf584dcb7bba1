"""The admin API on a TCP address."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator

from .. import values as units
from ..effects import RESTART
from ..fields import Bind, File, Section
from ..findings import Finding, PlainData, mapping
from ..findings import Path as FindingPath

SECRET_MIN = 16
"""Characters: what cannot be guessed in time."""


def check_secret(value: str) -> str:
    if len(value) < SECRET_MIN:
        raise ValueError(f"must have at least {SECRET_MIN} characters")
    return value


class AdminSection(Section):
    bind: Bind
    """The address that the admin API listens on, besides the control socket: host:port."""
    token: Annotated[str, AfterValidator(check_secret)] | None = None
    """The token that clients send as "Authorization: Bearer TOKEN". Required on any address but a loopback one."""
    token_file: File | None = None
    """A file that contains the token, as an alternative to token."""


EFFECTS = (("*", RESTART),)


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    """A token is required on addresses other than loopback: the API can stop the proxy."""
    admin = mapping(parent.get("admin"))
    if admin.get("token") is not None and admin.get("token_file") is not None:
        yield Finding(("admin", "token_file"), "excludes token; give one of the two", at_key=True)
    try:
        address = units.parse_bind(admin.get("bind"))
    except ValueError:
        return  # reported already
    if address.kind == "unix":
        yield Finding(("admin", "bind"), "must be host:port; a Unix socket is there anyway (see --run-dir)")
    elif not (units.is_loopback(address.host) or admin.get("token") or admin.get("token_file")):
        yield Finding(("admin", "bind"), "is no loopback address: add a token or a token_file, or listen on 127.0.0.1")
