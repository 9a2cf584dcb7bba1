"""From the section `geo` to what finds the location of a client; and what can be wrong with it across keys.

Law of this file: a name that means a location has to be one: a misspelt one would quietly send its clients anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from ..balancing.locations import BUILTIN, Location
from ..geo.database import Database
from ..geo.locator import Locator
from ..geo.networks import Networks
from .schema import Config
from .sections.geo import Geo


class Unknown(NamedTuple):
    """A name at this place in `geo` that is no location."""

    path: tuple[str | int, ...]
    name: str
    known: Collection[str]


def locations(geo: Geo | None) -> Mapping[str, Location]:
    """The locations of a configuration."""
    if geo is None or geo.locations is None:
        return BUILTIN
    return {name: Location(place.latitude, place.longitude, place.near) for name, place in geo.locations.items()}


def compile_locator(geo: Geo) -> Locator:
    """Opens the database if there is one. Raises ValueError in words for people."""
    known = locations(geo)
    database = None
    if geo.database is not None:
        source = geo.database
        database = Database(source.path, source.field, _encoded(source.values), known)
    return Locator(
        geo.header.name.lower().encode() if geo.header is not None else None,
        _encoded(geo.header.values) if geo.header is not None else {},
        frozenset(name.encode() for name in known),
        database,
        Networks({network: name.encode() for network, name in geo.networks.items()}) if geo.networks else None,
        (geo.default or "").encode(),
    )


def _encoded(values: Mapping[str, str]) -> dict[str, bytes]:
    return {value: name.encode() for value, name in values.items()}


def unknown_names(geo: Mapping[str, Any]) -> Iterator[Unknown]:
    """Names that are no locations. `geo` is the section as it stands in the file, and may be wrong in other ways."""
    listed = geo.get("locations")
    known = list(listed) if isinstance(listed, dict) else list(BUILTIN)
    places: list[tuple[tuple[str | int, ...], Any]] = [(("default",), geo.get("default"))]
    places += [(("networks", network), name) for network, name in _mapping(geo.get("networks")).items()]
    for source in ("header", "database"):
        values = _mapping(_mapping(geo.get(source)).get("values"))
        places += [((source, "values", value), name) for value, name in values.items()]
    for path, name in places:
        if isinstance(name, str) and name not in known:
            yield Unknown(path, name, known)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def lost_regions(config: Config) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Regions behind `geographic` that nobody knows the way to, and where they stand."""
    known = locations(config.geo)
    near = {name for place in known.values() for name in place.near}
    for upstream, section in config.upstreams.items():
        if section.balance.algorithm != "geographic" or "locations" in section.balance.params:
            continue
        places: list[tuple[tuple[str | int, ...], str | None]] = [
            (("backends", index), backend.region) for index, backend in enumerate(section.backends)
        ]
        if section.discover is not None:
            places.append((("discover", "each"), section.discover.each.region))
        for place, region in places:
            if region is not None and region not in known and region not in near:
                yield ("upstreams", upstream, *place, "region"), region
