"""Changes to the headers of requests and responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..fields import HeaderButHost, HeadersToSet, List, RequestHeadersToSet, Section
from ..findings import Finding, PlainData, mapping, same_name
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ...plan import EditSpec


class ResponseHeaders(Section):
    set: HeadersToSet = Field(default_factory=dict)
    """Headers that are set to this value, replacing received ones."""
    append: HeadersToSet = Field(default_factory=dict)
    """Header lines that are added to the received ones."""
    remove: List[HeaderButHost] = ()
    """Headers that are removed."""


class RequestHeaders(ResponseHeaders):
    set: RequestHeadersToSet = Field(default_factory=dict)
    """Headers that are set to this value, replacing received ones. Host is allowed here."""


def rules(path: FindingPath, route: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    for section in ("request_headers", "response_headers"):
        for change in ("set", "append"):
            names = mapping(mapping(route.get(section)).get(change))
            yield from same_name((*path, section, change), names)


def edits_of(headers: ResponseHeaders, hidden: tuple[str, ...]) -> EditSpec | None:
    """The edits, with the names that features hide; None without any."""
    from ...plan import EditSpec

    remove = (*headers.remove, *hidden)
    if not (headers.set or headers.append or remove):
        return None
    return EditSpec(_encoded(headers.set), _encoded(headers.append), tuple(name.encode() for name in remove))


def _encoded(fields: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in fields.items())
