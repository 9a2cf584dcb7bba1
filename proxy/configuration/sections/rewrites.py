"""Changes to the path of a request before it is forwarded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ...http1.codec import canonicalize
from ..fields import Path, Section
from ..findings import Finding, PlainData
from ..findings import Path as FindingPath
from ..values import quoted
from .match import MATCHES

if TYPE_CHECKING:
    from ..schema import Route


class ReplacePrefix(Section):
    from_: Annotated[Path, Field(alias="from")]
    """The prefix to remove."""
    to: Path
    """The replacement."""


def rules(path: FindingPath, route: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    """strip_prefix and replace_prefix: for forwarded requests only, at most one, and a prefix of the route's path."""
    given = [key for key in route if key in ("strip_prefix", "replace_prefix")]
    for key in given[1:]:
        yield Finding((*path, key), f"excludes {given[0]}; give one of the two", at_key=True)
    for key in given:
        if "upstream" not in route:
            yield Finding((*path, key), "needs upstream: nothing else has its path changed", at_key=True)
        value, where = route[key], (*path, key)
        if isinstance(value, dict):
            value, where = value.get("from"), (*where, "from")
        for match in ("path", "exact"):
            matched = route.get(match, "/" if match == "path" and not {*MATCHES} & route.keys() else None)
            if isinstance(value, str) and isinstance(matched, str) and not _within(matched, value):
                yield Finding(where, f"must be a prefix of {match}, which is {quoted(matched)}")


def _within(path: str, prefix: str) -> bool:
    """Does the path begin with the prefix, at a segment boundary?"""
    return f"{path.rstrip('/')}/".startswith(f"{prefix.rstrip('/')}/")


def rewrites_of(route: Route) -> dict[str, Any]:
    """The fields of `RouteSpec`."""
    strip, replace = route.strip_prefix, route.replace_prefix
    if replace is not None:
        strip = replace.from_
    return {
        "rewrites": strip is not None,
        "strip": canonical(strip) if strip is not None else b"",
        "prefix": canonical(replace.to) if replace is not None else b"",
        "raw_path": route.forward_path == "raw",
    }


def canonical(prefix: str) -> bytes:
    """A prefix in the form that paths of requests have, without a slash at the end."""
    return (canonicalize(prefix.encode()) or prefix.encode()).rstrip(b"/")
