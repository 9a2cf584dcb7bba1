"""From the section `geo` to what finds the location of a client; and what can be wrong with it across keys.

Law of this file: a name that means a location has to be one: a misspelt one would quietly send its clients anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..balancing.locations import BUILTIN, Location
from ..features.geo.locator import open_locator
from ..plan import DatabaseSpec, LocatorSpec
from .rules import Finding, Path, did_you_mean, mapping
from .schema import Config
from .sections.geo import Geo
from .values import quoted


def locations(geo: Geo | None) -> Mapping[str, Location]:
    """The locations of a configuration."""
    if geo is None or geo.locations is None:
        return BUILTIN
    return {name: Location(place.latitude, place.longitude, place.near) for name, place in geo.locations.items()}


def compile_locator(geo: Geo) -> LocatorSpec:
    """Opens the database if there is one, to see that it can be. Raises ValueError in words for people."""
    source, header = geo.database, geo.header
    spec = LocatorSpec(
        header=header.name.lower().encode() if header is not None else None,
        values=_encoded(header.values) if header is not None else {},
        locations=dict(locations(geo)),
        database=DatabaseSpec(source.path, source.field, _encoded(source.values)) if source is not None else None,
        networks={network: name.encode() for network, name in geo.networks.items()},
        default=(geo.default or "").encode(),
    )
    open_locator(spec)
    return spec


def _encoded(values: Mapping[str, str]) -> dict[str, bytes]:
    return {value: name.encode() for value, name in values.items()}


def geo_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Names that are no locations. `data` is what stands in the file, and may be wrong in every other way."""
    geo = mapping(data.get("geo"))
    listed = geo.get("locations")
    known = list(listed) if isinstance(listed, dict) else list(BUILTIN)
    places: list[tuple[Path, Any]] = [(("default",), geo.get("default"))]
    places += [(("networks", network), name) for network, name in mapping(geo.get("networks")).items()]
    for source in ("header", "database"):
        values = mapping(mapping(geo.get(source)).get("values"))
        places += [((source, "values", value), name) for value, name in values.items()]
    for path, name in places:
        if isinstance(name, str) and name not in known:
            yield Finding(("geo", *path), f"there is no location {quoted(name)}{did_you_mean(name, known)}")


def region_findings(config: Config) -> Iterator[Finding]:
    """Names in a list of regions that are none, where all regions stand in the file: no source finds others."""
    if not _discovers(config):
        yield from _strange_regions(config)


def geo_warnings(config: Config) -> Iterator[Finding]:
    """What is allowed in `geo`, and around it, but not what it seems."""
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


def lost_regions(config: Config) -> Iterator[tuple[Path, str]]:
    """Regions behind `geographic` that nobody knows the way to, and where they stand."""
    known = locations(config.geo)
    near = {name for place in known.values() for name in place.near}
    for upstream, section in config.upstreams.items():
        if section.balance.algorithm != "geographic" or "locations" in section.balance.params:
            continue
        places: list[tuple[Path, str | None]] = [
            (("backends", index), backend.region) for index, backend in enumerate(section.backends)
        ]
        if section.discover is not None:
            places.append((("discover", "each"), section.discover.each.region))
        for place, region in places:
            if region is not None and region not in known and region not in near:
                yield ("upstreams", upstream, *place, "region"), region
