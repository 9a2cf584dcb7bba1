"""How the backends of an upstream are picked: the algorithm, and what stands before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from ...balancing.user_code import named_inside
from ...upstream.backend import BackendSpec
from .. import values as units
from ..fields import BackendAddress, Count, GraceDuration, List, Section, Whole, duration
from .overload import RateKey

Algorithm = Annotated[str, AfterValidator(units.check_algorithm)]
Name = Annotated[str, AfterValidator(units.check_place)]


def in_a_list(value: object) -> object:
    """One stands for a list of one."""
    return [value] if isinstance(value, str) else value


class Balance(Section):
    """An algorithm and its parameters; keys other than these are handed to it as they stand."""

    model_config = ConfigDict(extra="allow")

    algorithm: Algorithm
    """The name of an algorithm, or "module:Class" for one of your own."""
    key: Annotated[List[RateKey], BeforeValidator(in_a_list, json_schema_input_type=str | list[str])] = ()
    """What the algorithm goes by: client_ip, header:NAME, query:NAME, cookie:NAME, path:NAME, or several of them
    together."""
    fallback: Algorithm = "power_of_two"
    """The algorithm for requests that lack the key, and the one that takes over if the other one fails."""
    slow: GraceDuration = duration("10ms")
    """How long a call of an algorithm of your own may take; one that often takes longer is replaced by the fallback as
    one that fails. 0 allows any."""

    @property
    def params(self) -> Mapping[str, Any]:
        """The further parameters of the algorithm."""
        return self.model_extra or {}

    @property
    def own_code(self) -> bool:
        """Whether an algorithm that is not of the table takes part: this one, or one inside of it."""
        named = named_inside(self.params)
        return ":" in self.algorithm or (isinstance(named, str) and ":" in named)


class Backend(Section):
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


class Zones(Section):
    proxies: Mapping[Name, Count] = Field(default_factory=dict)
    """How many proxies each zone has; equally many, if it is not said."""
    min_backends: Whole = 6
    """With fewer backends zones are ignored: too few to share fairly."""


def spec_of(section: Backend) -> BackendSpec:
    """What the data path knows of a backend of the configuration."""
    at = section.address
    return BackendSpec(
        *(str(at), at.host, at.port, at.path, section.weight),
        *(section.region, section.priority, section.zone, tuple(sorted(section.labels.items()))),
    )
