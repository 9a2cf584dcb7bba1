"""Discovery of the backends of an upstream, beside those in the file."""

from __future__ import annotations

import inspect
import ipaddress
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema

from ...errors import RefusedAt
from ...upstream.source import Source
from .. import values as units
from ..fields import Duration, File, List, Section, duration
from ..findings import Finding, PlainData, unknown_key
from ..findings import Path as FindingPath
from ..values import Address, described, quoted
from .names import Name as PlaceName

if TYPE_CHECKING:
    from ..site import Site

FORMS = ("dns", "file", "source")
_SOURCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


class DnsName(NamedTuple):
    """A name to resolve, lower case, and the port of the addresses; 0 where the records have one (SRV)."""

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

Name = Annotated[DnsName, PlainValidator(parse_dns_name), PlainSerializer(str), WithJsonSchema(_NAME_SCHEMA)]
Resolver = Annotated[Address, PlainValidator(parse_resolver), PlainSerializer(str), WithJsonSchema(_RESOLVER_SCHEMA)]


class Each(Section):
    region: str | None = None
    """The region of the backends; for geographic, the name of a location."""
    zone: PlaceName | None = None
    """The zone of the backends; see zones."""
    labels: Mapping[PlaceName, PlaceName] = Field(default_factory=dict)
    """Labels of the backends, names and values; see routes[].subset."""


class DiscoverSection(Section):
    """Exactly one of `dns`, `file` and `source`; with `source`, further keys are passed to the class."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"oneOf": [{"required": [form]} for form in FORMS]})

    dns: Name | None = None
    """A name to resolve, with the port of the backends; without a port for SRV records, which contain it."""
    type: Literal["a", "aaaa", "ip", "srv"] = "a"
    """The type of the records: IPv4 addresses, IPv6 addresses, both, or SRV with ports, weights and priorities."""
    resolvers: List[Resolver] = ()
    """IP addresses of the DNS servers; those of /etc/resolv.conf if there are none."""
    search: List[Annotated[str, AfterValidator(check_domain)]] = ()
    """Search domains; if resolvers is empty too, those of /etc/resolv.conf."""
    timeout: Duration = duration("5s")
    """The time-out of one query, over all attempts and servers."""
    ttl_min: Duration = duration("1s")
    """The least time for which an answer is valid, even if its TTL is shorter."""
    ttl_max: Duration = duration("60s")
    """The longest time for which an answer is valid, even if its TTL is longer."""
    keep: Duration = duration("5m")
    """The time for which the last valid answer is used while the name cannot be resolved."""
    each: Each = Field(default_factory=Each)
    """Defaults for the backends of this source."""
    file: File | None = None
    """A YAML or JSON file with a list of backends, watched for changes."""
    interval: Duration = duration("1s")
    """Time between two checks of the file."""
    source: Annotated[str, AfterValidator(check_source)] | None = None
    """A source of your own, "module:Class"."""

    @property
    def params(self) -> dict[str, Any]:
        """The arguments of a user's source."""
        return dict(self.model_extra or {})


ABOUT = "Discovery of further backends: by DNS, from a watched file, or by a source of your own."
EFFECTS = (("*", "the source is asked anew; its backends stay until it answers"),)


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    """Either backends or a source is required, and exactly one kind of source."""
    discover, where = parent.get("discover"), (*path, "discover")
    if discover is None and "backends" not in parent:
        words = "is missing; write backends: [127.0.0.1:9001], or discover: {dns: app.internal:9001}"
        yield Finding((*path, "backends"), words)
    elif discover is None and parent["backends"] == []:
        yield Finding((*path, "backends"), "must not be empty without discover")
    for broken in broken_rules(discover) if isinstance(discover, dict) else ():
        at = (*where, broken.key) if broken.key else where
        words = unknown_key(broken.key, list(DiscoverSection.model_fields)) if broken.unknown else broken.message
        yield Finding(at, words, broken.at_key)


def to_spec(discover: DiscoverSection, site: Site) -> None:
    """Sources are no part of a plan. Raises RefusedAt if one of a user's own cannot be used."""
    if discover.source is not None:
        try:
            find_class(discover)
        except ValueError as error:
            raise RefusedAt(("source",), str(error)) from error


OF_DNS = ("type", "resolvers", "search", "timeout", "ttl_min", "ttl_max", "keep")

OF_FILE = ("interval",)


class Broken(NamedTuple):
    """A rule that is broken: at which key of `discover`, or at itself if it is "", and how."""

    key: str
    message: str
    at_key: bool = False
    unknown: bool = False
    """The key is not known; the message is that of unknown keys."""


def broken_rules(discover: Mapping[str, Any]) -> Iterator[Broken]:
    given = [key for key in discover if discover[key] is not None]
    forms = [key for key in given if key in FORMS]
    if not forms:
        yield Broken("", "needs one of dns, file and source")
    for key in forms[1:]:
        yield Broken(key, f"excludes {forms[0]}; give one of dns, file and source", at_key=True)
    for form, keys in (("dns", OF_DNS), ("file", OF_FILE)):
        for key in given:
            if forms and key in keys and form not in forms:
                yield Broken(key, f"belongs to {form}, and there is none here; remove it", at_key=True)
    if "source" not in forms:
        known = {*DiscoverSection.model_fields}
        yield from (Broken(key, "", at_key=True, unknown=True) for key in discover if key not in known)
    if "dns" in forms:
        yield from _dns_rules(discover)


def _dns_rules(discover: Mapping[str, Any]) -> Iterator[Broken]:
    try:
        name = parse_dns_name(discover["dns"])
    except ValueError:
        return  # reported already
    if discover.get("type") == "srv" and name.port:
        yield Broken("dns", f"SRV records have ports of their own; write {name.name}")
    elif discover.get("type") != "srv" and not name.port:
        yield Broken("dns", f"the port is missing; write {name.name}:80, or type: srv for records that have one")
    try:
        least = units.parse_duration(discover.get("ttl_min", "1s"))
        most = units.parse_duration(discover.get("ttl_max", "60s"))
    except ValueError:
        return
    if least > most:
        written = discover.get("ttl_max", "60s, the default")
        yield Broken("ttl_min" if "ttl_min" in discover else "ttl_max", f"ttl_min is longer than ttl_max ({written})")


def find_class(discover: DiscoverSection) -> type[Source]:
    """The class of a source of one's own, which takes these parameters. Raises ValueError."""
    module, _, name = (discover.source or "").partition(":")
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # the import of a user's module may raise anything
        raise ValueError(f"{discover.source} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Source)):
        raise ValueError(f"{discover.source} is not a subclass of proxy.control.discovery.base.Source")
    try:
        inspect.signature(found).bind(**discover.params)
    except TypeError as error:
        raise ValueError(f"{discover.source} does not take these parameters: {error}") from None
    return found
