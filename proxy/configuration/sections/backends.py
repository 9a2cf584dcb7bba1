"""The backends that the file lists."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ...upstream.backend import BackendSpec
from ..effects import DRAINED, TAKES, ConfigChange, value_changes
from ..fields import BackendAddress, Section
from ..findings import Finding, PlainData, same_address
from ..findings import Path as FindingPath
from ..render import show
from .names import Name

if TYPE_CHECKING:
    from ..schema import Config
    from ..site import Site


class BackendSection(Section):
    address: BackendAddress
    """The address of the backend: host:port, [v6]:port or unix:/path."""
    weight: Annotated[int, Field(ge=0, le=256)] = 1
    """The share of requests, relative to the other backends; 0 for none."""
    region: str | None = None
    """The region of the backend; for geographic, the name of a location."""
    zone: Name | None = None
    """The zone of the backend; see zones."""
    labels: Mapping[Name, Name] = Field(default_factory=dict)
    """Labels of the backend, names and values; see routes[].subset."""
    priority: Annotated[int, Field(ge=0, le=127)] = 0
    """Priority 0 is used first; a higher number gets the overflow of the lower ones."""


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    yield from same_address((*path, "backends"), parent.get("backends"), "address")


def lint(config: Config) -> Iterator[Finding]:
    for name, upstream in config.upstreams.items():
        if upstream.discover is None and not any(backend.weight for backend in upstream.backends):
            yield Finding(("upstreams", name, "backends"), "every weight is 0: this upstream takes no requests")


def to_spec(backends: tuple[BackendSection, ...], site: Site) -> tuple[BackendSpec, ...]:
    return tuple(map(spec_of, backends))


def spec_of(section: BackendSection) -> BackendSpec:
    """The spec of a backend of the configuration."""
    at = section.address
    return BackendSpec(
        address=str(at),
        host=at.host,
        port=at.port,
        path=at.path,
        weight=section.weight,
        region=section.region,
        priority=section.priority,
        zone=section.zone,
        labels=tuple(sorted(section.labels.items())),
    )


def backend_changes(
    upstream: str, old: Sequence[BackendSection], new: Sequence[BackendSection]
) -> Iterator[ConfigChange]:
    """The changes of a reload in the backends of an upstream, which are identified by their addresses."""
    before, after = ({str(each.address): each for each in backends} for backends in (old, new))
    for address, backend in before.items():
        if address not in after:
            yield ConfigChange("removed", f"backend {upstream} {address}", _weighed(backend), "", DRAINED)
    for address, backend in after.items():
        what = f"backend {upstream} {address}"
        if address not in before:
            yield ConfigChange(
                "added", what, "", _weighed(backend), TAKES if backend.weight else "has a weight of 0: waits"
            )
            continue
        for change in value_changes((), before[address], backend, None):
            effect = "its connections and counters stay"
            if change.what == "weight" and not backend.weight:
                effect = "gets no new requests; those in flight finish"
            yield change._replace(what=f"{what} {change.what}", effect=effect)
    kept = [address for address in before if address in after]
    if kept != [address for address in after if address in before]:
        order = ", ".join(before), ", ".join(after)
        yield ConfigChange(
            "moved", f"backends of {upstream}", *order, "concerns only algorithms that go by their order"
        )


def _weighed(backend: BackendSection) -> str:
    more = {"region": backend.region, "zone": backend.zone, "priority": backend.priority, "labels": backend.labels}
    return ", ".join([f"weight {backend.weight}", *(f"{key} {show(value)}" for key, value in more.items() if value)])
