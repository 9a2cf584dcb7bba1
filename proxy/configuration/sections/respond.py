"""Local replies of routes: a redirect, a fixed response."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from .. import values as units
from ..fields import HeaderValue, RespondHeaders, Section
from ..findings import Finding, PlainData, mapping
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ...plan import RedirectSpec, RespondSpec


class RedirectSection(Section):
    to: Annotated[str, AfterValidator(units.check_redirect)]
    """The new location; {host}, {path} and {query} are replaced by those of the request."""
    status: Literal[301, 302, 303, 307, 308] = 308
    """The status code."""


class Respond(Section):
    status: Annotated[int, Field(ge=200, le=599)] = 200
    """The status code."""
    body: str = ""
    """The body, sent as UTF-8."""
    content_type: HeaderValue = "text/plain; charset=utf-8"
    """The Content-Type header."""
    headers: RespondHeaders = Field(default_factory=dict)
    """Further headers."""


def rules(path: FindingPath, route: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    respond = mapping(route.get("respond"))
    if respond.get("body") and respond.get("status") in (204, 205, 304):
        yield Finding((*path, "respond", "body"), f"a response with status {respond['status']} has no body")


def redirect_of(redirect: RedirectSection | None) -> RedirectSpec | None:
    from ...plan import RedirectSpec

    return RedirectSpec(redirect.status, redirect.to) if redirect is not None else None


def respond_of(respond: Respond | None) -> RespondSpec | None:
    from ...plan import RespondSpec

    if respond is None:
        return None
    headers = tuple(respond.headers.items())
    return RespondSpec(respond.status, headers, respond.body.encode(), respond.content_type)
