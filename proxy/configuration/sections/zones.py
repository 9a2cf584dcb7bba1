"""Keeping requests in the zone of this proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from ...balancing.compose import ZoneSpec
from ..fields import Count, Section, Whole
from .names import Name

if TYPE_CHECKING:
    from ..site import Site


class ZonesSection(Section):
    proxies: Mapping[Name, Count] = Field(default_factory=dict)
    """How many proxies each zone has; equally many, if it is not said."""
    min_backends: Whole = 6
    """With fewer backends zones are ignored: too few to share fairly."""


ABOUT = "Keeps requests in the zone of this proxy where that overloads nobody; null for not at all."


def to_spec(zones: ZonesSection, site: Site) -> ZoneSpec | None:
    zone = site.config.zone
    return ZoneSpec(zone, tuple(sorted(zones.proxies.items())), zones.min_backends) if zone is not None else None
