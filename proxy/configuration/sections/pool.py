"""The pool of connections to each backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..fields import Count, Duration, Section, Whole, duration
from ..findings import Finding, PlainData, mapping
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ...upstream.spec import PoolSettings
    from ..site import Site


class PoolSection(Section):
    min: Whole = 0
    """Connections kept open to each backend without traffic."""
    max: Count = 1024
    """Connections to each backend, busy and idle."""
    idle: Duration = duration("55s")
    """The time after which an idle connection is closed."""
    lifetime: Duration = duration("1h")
    """The age after which a connection is not used for further requests."""
    pending: Whole = 1024
    """Requests that may wait for a connection to a backend that has `max` open."""


EFFECTS = (("*", "pools keep their connections"),)


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    pool = mapping(parent.get("pool"))
    least, most = pool.get("min"), pool.get("max", 1024)
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield Finding((*path, "pool", "min"), f"must be at most pool.max, which is {most}; not {least}")


def to_spec(pool: PoolSection, site: Site) -> PoolSettings:
    from ...upstream.spec import PoolSettings

    connect = site.upstream_section.timeouts.connect or site.config.timeouts.connect
    return PoolSettings(pool.min, pool.max, pool.idle, pool.lifetime, pool.pending, connect)
