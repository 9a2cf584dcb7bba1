"""The backends that the file lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ...upstream.backend import BackendSpec
from ..fields import BackendAddress, Section
from ..findings import Document, Finding, same_address
from ..findings import Path as FindingPath
from .names import Name

if TYPE_CHECKING:
    from ..schema import Config
    from ..site import Site


class BackendSection(Section):
    address: BackendAddress
    """Where the backend listens: host:port, [v6]:port or unix:/path."""
    weight: Annotated[int, Field(ge=0, le=256)] = 1
    """The share of requests, relative to the other backends; 0 takes none."""
    region: str | None = None
    """Where the backend is; for geographic, the name of a location."""
    zone: Name | None = None
    """The zone that it is in; see zones."""
    labels: Mapping[Name, Name] = Field(default_factory=dict)
    """What it is, as names and values of your own; see routes[].subset."""
    priority: Annotated[int, Field(ge=0, le=127)] = 0
    """Those of 0 are used first; those of a higher one as far as the ones before cannot serve everything."""


def rules(path: FindingPath, parent: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    yield from same_address((*path, "backends"), parent.get("backends"), "address")


def lint(config: Config) -> Iterator[Finding]:
    for name, upstream in config.upstreams.items():
        if upstream.discover is None and not any(backend.weight for backend in upstream.backends):
            yield Finding(("upstreams", name, "backends"), "every weight is 0: this upstream takes no requests")


def to_spec(backends: tuple[BackendSection, ...], site: Site) -> tuple[BackendSpec, ...]:
    return tuple(map(spec_of, backends))


def spec_of(section: BackendSection) -> BackendSpec:
    """What the data path knows of a backend of the configuration."""
    at = section.address
    return BackendSpec(
        *(str(at), at.host, at.port, at.path, section.weight),
        *(section.region, section.priority, section.zone, tuple(sorted(section.labels.items()))),
    )
