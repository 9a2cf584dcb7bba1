"""The locations of clients, and their coordinates.

Law of this file: every name of a location is checked: with a misspelt one its clients would go to any region.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from ...balancing.locations import BUILTIN, Location
from ...errors import RefusedAt
from ..fields import File, List, Network, Section, Token, bare
from ..findings import Finding, PlainData, did_you_mean, mapping
from ..findings import Path as FindingPath
from ..values import quoted
from .names import Name

if TYPE_CHECKING:
    from ...plan import LocatorSpec
    from ..schema import Config
    from ..site import Site


class GeoHeader(Section):
    name: Token
    """The header of a trusted proxy with the client's location."""
    values: Mapping[str, Name] = Field(default_factory=dict)
    """Values to names of locations; other values are names of locations."""


class GeoDatabase(Section):
    path: File
    """A MaxMind DB file (.mmdb)."""
    field: Annotated[str, Field(min_length=1)] = "country.iso_code"
    """The path of a field in its records. A field with latitude and longitude, such as location, selects the nearest
    location."""
    values: Mapping[str, Name] = Field(default_factory=dict)
    """Values of the field to names of locations; other values are names of locations."""


class Place(Section):
    latitude: Annotated[float, Field(ge=-90.0, le=90.0)] | None = None
    """Degrees north of the equator; negative in the south."""
    longitude: Annotated[float, Field(ge=-180.0, le=180.0)] | None = None
    """Degrees east of Greenwich; negative in the west."""
    near: List[Name] = ()
    """Preferred regions, in order, before all others regardless of distance."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            has, lacks = ("longitude", "latitude") if self.latitude is None else ("latitude", "longitude")
            raise ValueError(f"has a {has} and no {lacks}; give both or neither")
        return self


class GeoSection(Section):
    header: Annotated[GeoHeader, bare("name", GeoHeader)] | None = None
    """A header of a trusted proxy with the client's location; the first source."""
    database: Annotated[GeoDatabase, bare("path", GeoDatabase)] | None = None
    """A MaxMind DB; the second source. Needs qantara[geo]."""
    networks: Mapping[Network, Name] = Field(default_factory=dict)
    """Networks to locations; the last source. The longest prefix wins."""
    locations: Mapping[Name, Place] | None = None
    """The coordinates of locations; 14 built-in ones if absent."""
    default: Name | None = None
    """The location of clients without a known one; if absent they go to all regions by weight."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.header is None and self.database is None and not self.networks and self.default is None:
            raise ValueError("never says where a client is: give header, database, networks or default")
        return self


ABOUT = "The sources of client locations, and their coordinates; for geographic."


def locations(geo: GeoSection | None) -> Mapping[str, Location]:
    """The locations of a configuration."""
    if geo is None or geo.locations is None:
        return BUILTIN
    return {name: Location(place.latitude, place.longitude, place.near) for name, place in geo.locations.items()}


def to_spec(geo: GeoSection, site: Site) -> LocatorSpec:
    """Opens the database if there is one, to see that it can be. Raises ValueError in words for people."""
    from ...plan import DatabaseSpec, LocatorSpec

    source, header = geo.database, geo.header
    spec = LocatorSpec(
        header=header.name.lower().encode() if header is not None else None,
        values=_encoded(header.values) if header is not None else {},
        locations=dict(locations(geo)),
        database=DatabaseSpec(source.path, source.field, _encoded(source.values)) if source is not None else None,
        networks={network: name.encode() for network, name in geo.networks.items()},
        default=(geo.default or "").encode(),
    )
    if source is not None:
        from ...features.geo.locator import open_locator  # here, since its package is optional

        try:
            open_locator(spec)
        except ValueError as error:
            raise RefusedAt(("database",), str(error)) from error
    return spec


def _encoded(values: Mapping[str, str]) -> dict[str, bytes]:
    return {value: name.encode() for value, name in values.items()}


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    """Names that are not locations."""
    geo = mapping(parent.get("geo"))
    listed = geo.get("locations")
    known = list(listed) if isinstance(listed, dict) else list(BUILTIN)
    places: list[tuple[FindingPath, Any]] = [(("default",), geo.get("default"))]
    places += [(("networks", network), name) for network, name in mapping(geo.get("networks")).items()]
    for source in ("header", "database"):
        values = mapping(mapping(geo.get(source)).get("values"))
        places += [((source, "values", value), name) for value, name in values.items()]
    for place, name in places:
        if isinstance(name, str) and name not in known:
            yield Finding(("geo", *place), f"there is no location {quoted(name)}{did_you_mean(name, known)}")


def check(config: Config) -> Iterator[Finding]:
    """Unknown names in a list of regions, if all regions are in the file: no source can add others."""
    if not _discovers(config):
        yield from _strange_regions(config)


def lint(config: Config) -> Iterator[Finding]:
    """Warnings on `geo`, and on keys related to it."""
    if config.geo is not None and config.geo.header is not None and not config.trusted_proxies:
        yield Finding(("geo", "header"), "is never believed: trusted_proxies lists nobody")
    if _discovers(config):
        yield from _strange_regions(config)
    for place, region in lost_regions(config):
        words = f"there is no location {quoted(region)}{did_you_mean(region, locations(config.geo))}: it is used last"
        yield Finding(place, words)


def _discovers(config: Config) -> bool:
    return any(upstream.discover is not None for upstream in config.upstreams.values())


def _strange_regions(config: Config) -> Iterator[Finding]:
    """Names in `near` that are neither locations nor regions of backends."""
    known = set(locations(config.geo))
    for upstream in config.upstreams.values():
        known.update(backend.region for backend in upstream.backends if backend.region is not None)
        if upstream.discover is not None and upstream.discover.each.region is not None:
            known.add(upstream.discover.each.region)
    for name, place in locations(config.geo).items():
        for index, region in enumerate(place.near):
            if region not in known:
                words = f"there is no location or region {quoted(region)}{did_you_mean(region, sorted(known))}"
                yield Finding(("geo", "locations", name, "near", index), words)


def lost_regions(config: Config) -> Iterator[tuple[FindingPath, str]]:
    """Regions under `geographic` without a known distance, and their paths."""
    known = locations(config.geo)
    near = {name for place in known.values() for name in place.near}
    for upstream, section in config.upstreams.items():
        if section.balance.algorithm != "geographic" or "locations" in section.balance.params:
            continue
        places: list[tuple[FindingPath, str | None]] = [
            (("backends", index), backend.region) for index, backend in enumerate(section.backends)
        ]
        if section.discover is not None:
            places.append((("discover", "each"), section.discover.each.region))
        for place, region in places:
            if region is not None and region not in known and region not in near:
                yield ("upstreams", upstream, *place, "region"), region
