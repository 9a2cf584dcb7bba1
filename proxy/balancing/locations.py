"""Locations with coordinates or an order of preference, and the regions near to one.

Law of this file: plain data and arithmetic. Names of locations and regions are of one kind; a location is that of a
client, a region that of a backend.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import asin, cos, radians, sin, sqrt
from typing import NamedTuple

EARTH = 6371.0
"""The mean radius of the earth in km."""


class Location(NamedTuple):
    """Coordinates in degrees, and names of locations that are preferred to those near by distance."""

    latitude: float | None = None
    longitude: float | None = None
    near: tuple[str, ...] = ()


BUILTIN = {
    "us-east": Location(39.04, -77.49),
    "us-west": Location(45.84, -119.70),
    "us-central": Location(41.26, -95.86),
    "ca-central": Location(45.50, -73.57),
    "sa-east": Location(-23.55, -46.63),
    "eu-west": Location(53.35, -6.26),
    "eu-central": Location(50.11, 8.68),
    "eu-north": Location(59.33, 18.07),
    "me-south": Location(26.07, 50.56),
    "af-south": Location(-33.92, 18.42),
    "ap-south": Location(19.08, 72.88),
    "ap-southeast": Location(1.35, 103.82),
    "ap-northeast": Location(35.68, 139.69),
    "oceania": Location(-33.87, 151.21),
}
"""The default list: Ashburn, Boardman, Council Bluffs, Montreal, São Paulo, Dublin, Frankfurt,
Stockholm, Manama, Cape Town, Mumbai, Singapore, Tokyo, Sydney."""


def distance(one: Location, other: Location) -> float | None:
    """Kilometres along the surface of the earth (haversine formula); None if a place has no coordinates."""
    if None in (one.latitude, one.longitude, other.latitude, other.longitude):
        return None
    lat1, lat2 = radians(one.latitude or 0.0), radians(other.latitude or 0.0)
    east = radians((other.longitude or 0.0) - (one.longitude or 0.0))
    half = sin((lat2 - lat1) / 2) ** 2 + cos(lat1) * cos(lat2) * sin(east / 2) ** 2
    return 2 * EARTH * asin(min(1.0, sqrt(half)))


def ordered(name: str, regions: Collection[str | None], known: Mapping[str, Location]) -> list[list[str | None]]:
    """The regions as they are used for a client at `name`: those of its list in that order, the region of its own name,
    then by distance. Those without a known distance come last, in one group."""
    here = known.get(name, Location())
    order = [region for region in (*here.near, name) if region in regions]
    tiers: list[list[str | None]] = [[region] for region in dict.fromkeys(order)]
    far, unknown = [], []
    for region in regions:
        if region in order:
            continue
        km = distance(here, known.get(region or "", Location()))
        if km is None:
            unknown.append(region)
        else:
            far.append((km, str(region)))
    tiers += [[region] for _, region in sorted(far)]
    return [*tiers, sorted(unknown, key=str)] if unknown else tiers


def nearest(latitude: float, longitude: float, known: Mapping[str, Location]) -> str | None:
    """The name of the location nearest to these coordinates; None if none has any."""
    here = Location(latitude, longitude)
    far = [(km, name) for name, place in known.items() if (km := distance(here, place)) is not None]
    return min(far)[1] if far else None
