"""Where the backends of an upstream come from, beside those that the file names."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic.functional_validators import AfterValidator

from .. import values as units
from ..fields import Duration, File, List, Section, duration
from ..values import Address, described, quoted

_SOURCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class DnsName(NamedTuple):
    """A name to ask for, lower case, and the port of the addresses found; 0 where the records have one (SRV)."""

    name: str
    port: int = 0

    def __str__(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name


def parse_dns_name(value: object) -> DnsName:
    """ "app.internal:9001" or, for SRV, "_http._tcp.app.internal". A dot at the end: no search domains."""
    if isinstance(value, DnsName):
        return value
    if not isinstance(value, str):
        raise ValueError(f"must be a name such as app.internal:9001, not {described(value)}")
    if "://" in value:
        raise ValueError(f"must be a name without a scheme, such as app.internal:9001, not {quoted(value)}")
    name, colon, port = value.lower().partition(":")
    if _is_ip(value.strip("[]")) or _is_ip(value.rpartition(":")[0].strip("[]")):
        raise ValueError(f"{quoted(value)} is an address and needs no DNS; put it under backends")
    if not units.is_host_name(name.removesuffix(".")):
        raise ValueError(f"{quoted(value)} is no name such as app.internal:9001")
    if not colon:
        return DnsName(name)
    return DnsName(name, units.parse_address(f"name:{port}").port)


def parse_resolver(value: object) -> Address:
    """ "10.0.0.2", "10.0.0.2:5353", "fd00::2" or "[fd00::2]:5353"; the port is 53 if none is given."""
    if isinstance(value, Address):
        return value
    if isinstance(value, str):
        text = value.strip("[]") if value.endswith("]") else value
        if _is_ip(text):
            return Address("tcp", str(ipaddress.ip_address(text)), 53)
        if ":" in value and _is_ip(value.rpartition(":")[0].strip("[]")):
            return units.parse_address(value)
    raise ValueError(f"must be the IP address of a DNS server, such as 10.0.0.2 or 10.0.0.2:53, not {described(value)}")


def check_domain(value: str) -> str:
    if not units.is_host_name(value.lower().removesuffix(".")):
        raise ValueError(f"{quoted(value)} is no domain such as svc.cluster.local")
    return value.lower().removesuffix(".")


def check_source(value: str) -> str:
    if not _SOURCE.fullmatch(value):
        raise ValueError(f'must be "module:Class", not {quoted(value)}')
    return value


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_NAME_SCHEMA = {"type": "string", "examples": ["app.internal:9001", "_http._tcp.app.internal"]}
_RESOLVER_SCHEMA = {"type": "string", "examples": ["10.0.0.2", "10.0.0.2:5353", "[fd00::2]:53"]}

Place = Annotated[str, AfterValidator(units.check_place)]
Name = Annotated[DnsName, PlainValidator(parse_dns_name), PlainSerializer(str), WithJsonSchema(_NAME_SCHEMA)]
Resolver = Annotated[Address, PlainValidator(parse_resolver), PlainSerializer(str), WithJsonSchema(_RESOLVER_SCHEMA)]


class Each(Section):
    region: str | None = None
    """Where they are; for geographic, the name of a location."""
    zone: Place | None = None
    """The zone that they are in; see zones."""
    labels: Mapping[Place, Place] = Field(default_factory=dict)
    """What they are, as names and values of your own; see routes[].subset."""


class Discover(Section):
    """Exactly one of `dns`, `file` and `source`; with `source`, keys other than these are handed to the class."""

    model_config = ConfigDict(extra="allow")

    dns: Name | None = None
    """A name to resolve, with the port of the backends; without a port for SRV, whose records have one."""
    type: Literal["a", "aaaa", "ip", "srv"] = "a"
    """The records asked for: IPv4 addresses, IPv6 addresses, both, or SRV with ports, weights and priorities."""
    resolvers: List[Resolver] = ()
    """IP addresses of the DNS servers; those of /etc/resolv.conf if there are none."""
    search: List[Annotated[str, AfterValidator(check_domain)]] = ()
    """Domains in which a name is looked for; if resolvers is empty too, those of /etc/resolv.conf."""
    timeout: Duration = duration("5s")
    """One question, all tries and servers together."""
    ttl_min: Duration = duration("1s")
    """An answer holds at least this long, even if its TTL is shorter."""
    ttl_max: Duration = duration("60s")
    """An answer is asked for anew after this time, even if its TTL is longer."""
    keep: Duration = duration("5m")
    """How long the last good answer is used while the name cannot be resolved, or is gone."""
    each: Each = Field(default_factory=Each)
    """What all backends of this source are, as far as the source says nothing of it itself."""
    file: File | None = None
    """A YAML or JSON file with a list of backends, watched."""
    interval: Duration = duration("1s")
    """Time between two looks at the file."""
    source: Annotated[str, AfterValidator(check_source)] | None = None
    """A source of your own, "module:Class"."""

    @property
    def params(self) -> dict[str, Any]:
        """What a source of one's own is made with."""
        return dict(self.model_extra or {})
