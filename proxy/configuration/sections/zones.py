"""Zone-aware routing: requests stay in the zone of this proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from ..fields import Count, Section, Whole
from .names import Name

if TYPE_CHECKING:
    from ...balancing.compose import ZoneSpec
    from ..site import Site


class ZonesSection(Section):
    proxies: Mapping[Name, Count] = Field(default_factory=dict)
    """The number of proxies in each zone; the same number if absent."""
    min_backends: Whole = 6
    """The least number of backends; with fewer zones are ignored, since a fair share is not possible."""


ABOUT = "Zone-aware routing: requests stay in the zone of this proxy unless that overloads its backends; null for none."


def to_spec(zones: ZonesSection, site: Site) -> ZoneSpec | None:
    from ...balancing.compose import ZoneSpec

    zone = site.config.zone
    return ZoneSpec(zone, tuple(sorted(zones.proxies.items())), zones.min_backends) if zone is not None else None
