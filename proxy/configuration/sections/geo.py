"""Where clients come from, and where locations are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from ..fields import File, List, Network, Section, Token, bare
from .balance import Name


class GeoHeader(Section):
    name: Token
    """A header in which a trusted proxy says where the client is."""
    values: Mapping[str, Name] = Field(default_factory=dict)
    """What its values mean; others are names of locations."""


class GeoDatabase(Section):
    path: File
    """A MaxMind DB file (.mmdb)."""
    field: Annotated[str, Field(min_length=1)] = "country.iso_code"
    """The way into its records. One with latitude and longitude, such as location, means the nearest location."""
    values: Mapping[str, Name] = Field(default_factory=dict)
    """What the values of the field mean; others are names of locations."""


class Place(Section):
    latitude: Annotated[float, Field(ge=-90.0, le=90.0)] | None = None
    """In degrees, north of the equator; negative in the south."""
    longitude: Annotated[float, Field(ge=-180.0, le=180.0)] | None = None
    """In degrees, east of Greenwich; negative in the west."""
    near: List[Name] = ()
    """Regions in the order in which they are used, before all others, whatever their distance."""

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.latitude is None) != (self.longitude is None):
            has, lacks = ("longitude", "latitude") if self.latitude is None else ("latitude", "longitude")
            raise ValueError(f"has a {has} and no {lacks}; give both or neither")
        return self


class Geo(Section):
    header: Annotated[GeoHeader, bare("name", GeoHeader)] | None = None
    """A header of a trusted proxy that says where the client is; asked first."""
    database: Annotated[GeoDatabase, bare("path", GeoDatabase)] | None = None
    """A MaxMind DB; asked next. Needs qantara[geo]."""
    networks: Mapping[Network, Name] = Field(default_factory=dict)
    """Networks and where they are; asked last. The longest prefix counts."""
    locations: Mapping[Name, Place] | None = None
    """Where locations are; 14 that are built in, if absent."""
    default: Name | None = None
    """The location of clients that nobody knows; if absent they go to all regions by weight."""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.header is None and self.database is None and not self.networks and self.default is None:
            raise ValueError("never says where a client is: give header, database, networks or default")
        return self
