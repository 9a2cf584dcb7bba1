"""Backends from DNS: A and AAAA, or SRV with ports, weights and priorities (RFC 2782).

Law of this file: an answer is refreshed when its TTL is over, within ttl_min and ttl_max. If some of several queries
fail, their last records are used until `keep` is over; a failure of all queries is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence
from ipaddress import ip_address
from math import gcd
from typing import Any, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from ...configuration.render import show_duration
from ...configuration.sections.discover import DiscoverSection
from ...configuration.values import Address
from ...errors import DiscoveryError
from ...upstream.backend import BackendSpec
from .base import Answer, Clock, Source

JITTER = 0.1
"""An answer is used for up to this share of its TTL longer, so that many proxies do not ask at the same moment."""
TROUBLED_TTL = 2.0
"""Seconds until the next try where one question of several has failed."""
WEIGHT_MAX = 256
QUESTIONS_AT_ONCE = 16
TRY = 2.0
"""Seconds that one server has for one try."""
FAMILIES = {"a": ("A",), "aaaa": ("AAAA",), "ip": ("A", "AAAA")}


class Records(NamedTuple):
    """The answer to one question."""

    values: tuple[Any, ...]
    """Addresses as text, or SRV records as `SrvTarget`."""
    ttl: float
    """Seconds, the least of the chain of CNAMEs that led to it."""
    at: float = 0.0
    """When it came (seconds, monotonic)."""


class SrvTarget(NamedTuple):
    """Where an SRV record points."""

    priority: int
    weight: int
    port: int
    host: str


class DnsSource(Source):
    """Resolves one name again and again."""

    kind = "dns"

    def __init__(self, discover: DiscoverSection, clock: Clock) -> None:
        if discover.dns is None:
            raise ValueError("discover.dns is missing")
        self.discover = discover
        self.name = discover.dns
        self.clock = clock
        self.keep = discover.keep
        self.retry_max = max(discover.ttl_min, min(discover.ttl_max, Source.retry_max))
        self.known: dict[tuple[str, str], Records] = {}
        """The last good answer to each question."""
        self.gate = asyncio.Semaphore(QUESTIONS_AT_ONCE)
        self.trouble: list[str] = []

    def asks(self) -> str:
        records = "SRV" if self.discover.type == "srv" else " and ".join(FAMILIES[self.discover.type])
        servers = ", ".join(map(str, self.discover.resolvers)) or "the resolvers of the system"
        return f"{records} of {self.name.name} at {servers}"

    async def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
        while True:
            answer = await self.ask()
            yield answer
            await self.clock.sleep((answer.ttl or 0.0) * (1 + JITTER * self.clock.jitter()))

    async def ask(self) -> Answer:
        """One round of questions. Raises DiscoveryError if it leads to no backend."""
        self.trouble = []
        if self.discover.type == "srv":
            backends, ttl = await self._services()
        else:
            found = await self._addresses(self.name.name, FAMILIES[self.discover.type])
            backends, ttl = [_spec(host, self.name.port) for host in found.values], found.ttl
        if not backends:
            raise DiscoveryError(f"no record of {self.name.name} names a port")
        ttl = min(max(ttl, self.discover.ttl_min), self.discover.ttl_max)
        if self.trouble:
            ttl = min(ttl, max(TROUBLED_TTL, self.discover.ttl_min))
        return Answer(tuple(backends), ttl, "; ".join(self.trouble))

    # --- addresses ---

    async def _addresses(self, name: str, families: Sequence[str]) -> Records:
        """The addresses of a name in order, and the shortest TTL. Raises DiscoveryError if there are none."""
        answers = await asyncio.gather(*(self._attempt(name, kind) for kind in families))
        fresh = [answer for answer in answers if isinstance(answer, Records)]
        failed = [answer for answer in answers if isinstance(answer, DiscoveryError)]
        if not fresh:
            raise failed[0]
        used = fresh + [last for kind in families if (last := self._last(name, kind))] if failed else fresh
        values = sorted({value for records in used for value in records.values}, key=_numeric)
        if not values:
            other = "; type: ip asks for both IPv4 and IPv6" if len(families) == 1 else ""
            raise failed[0] if failed else DiscoveryError(f"{name} has no {' and no '.join(families)} record{other}")
        self.trouble.extend(map(str, failed))
        return Records(tuple(values), min(records.ttl for records in used if records.values))

    async def _attempt(self, name: str, kind: str) -> Records | DiscoveryError:
        try:
            return await self._lookup(name, kind)
        except DiscoveryError as error:
            return error

    def _last(self, name: str, kind: str) -> Records | None:
        """The last good answer to a question while it may still be used."""
        last = self.known.get((name, kind))
        return last if last is not None and self.clock.now() - last.at <= self.keep else None

    # --- services ---

    async def _services(self) -> tuple[list[BackendSpec], float]:
        name = self.name.name
        records = await self._lookup(name, "SRV")
        targets = [target for target in records.values if target.host != "."]
        if not records.values:
            raise DiscoveryError(f"{name} has no SRV record")
        if not targets:  # RFC 2782: a target of "." says so
            raise DiscoveryError(f"{name} says that the service is not available (its target is .)")
        hosts = sorted({target.host for target in targets})
        self.known = {key: last for key, last in self.known.items() if key[0] in hosts}
        answers = await asyncio.gather(*(self._of_target(host) for host in hosts))
        failed = [str(answer) for answer in answers if isinstance(answer, DiscoveryError)]
        if len(failed) == len(hosts):
            raise DiscoveryError(failed[0])
        self.trouble.extend(failed)
        addresses = dict(zip(hosts, map(self._or_last, hosts, answers), strict=True))
        ttl = min([records.ttl, *(found.ttl for found in addresses.values() if found is not None)])
        return _services(targets, addresses), ttl

    async def _of_target(self, host: str) -> Records | DiscoveryError:
        """The addresses of an SRV record's target, IPv4 if it has any."""
        for kind in ("A", "AAAA"):
            answer = await self._attempt(host, kind)
            if isinstance(answer, DiscoveryError) or answer.values:
                return answer
        return DiscoveryError(f"{host} has no A and no AAAA record")

    def _or_last(self, host: str, answer: Records | DiscoveryError) -> Records | None:
        if isinstance(answer, Records):
            return answer
        return self._last(host, "A") or self._last(host, "AAAA")

    # --- one question ---

    async def _lookup(self, name: str, kind: str) -> Records:
        """Asks. A name that exists without such a record gives no values. Raises DiscoveryError."""
        limit = self.discover.timeout
        try:
            async with self.gate, asyncio.timeout(limit + 0.5):  # its own limit goes by the wall clock
                answer = await self._resolver().resolve(name, kind, lifetime=limit, search=True)
        except dns.resolver.NoAnswer:
            self.known.pop((name, kind), None)
            return Records((), self.discover.ttl_max)
        except dns.resolver.NXDOMAIN:
            raise DiscoveryError(f"there is no name {name} (NXDOMAIN)") from None
        except (TimeoutError, dns.resolver.LifetimeTimeout) as error:
            why = _said(getattr(error, "kwargs", {}))
            raise DiscoveryError(f"no answer to {kind} of {name} within {show_duration(limit)}{why}") from None
        except dns.resolver.NoNameservers as error:
            raise DiscoveryError(f"no resolver could answer {kind} of {name}{_said(error.kwargs)}") from None
        except (dns.exception.DNSException, OSError) as error:
            raise DiscoveryError(f"{kind} of {name}: {error or type(error).__name__}") from None
        values = answer.rrset or ()
        ttl = float(answer.chaining_result.minimum_ttl)
        made = [_target(value) if kind == "SRV" else value.address for value in values]
        self.known[name, kind] = records = Records(tuple(made), ttl, self.clock.now())
        return records

    def _resolver(self) -> dns.asyncresolver.Resolver:
        """A new one for each question: /etc/resolv.conf may have changed."""
        servers, search = self.discover.resolvers, self.discover.search
        resolver = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in servers]
        if servers or search:
            resolver.search = [dns.name.from_text(domain) for domain in search]
            resolver.domain = dns.name.root
        resolver.timeout = min(TRY, self.discover.timeout / 2)
        return resolver


def _said(details: dict[str, Any]) -> str:
    """What each server did, from the details of an error of dnspython."""
    words = []
    for server, _, port, error, response in details.get("errors", ()):
        said = dns.rcode.to_text(response.rcode()) if response is not None else _outcome(error)
        where = str(server).removeprefix("Do53:").replace("@", ":") if "@" in str(server) else f"{server}:{port}"
        words.append(f"{where}: {said}")
    return f" ({'; '.join(dict.fromkeys(words))})" if words else ""


def _outcome(error: object) -> str:
    if isinstance(error, dns.exception.Timeout | TimeoutError):
        return "no answer"
    return str(error) or type(error).__name__


def _target(record: Any) -> SrvTarget:
    host = record.target.to_text().lower()
    return SrvTarget(record.priority, record.weight, record.port, host)


def _spec(host: str, port: int, weight: int = 1, priority: int = 0) -> BackendSpec:
    return BackendSpec(str(Address("tcp", host, port)), host, port, "", weight, priority=priority)


def _numeric(text: str) -> tuple[int, int]:
    address = ip_address(text)
    return address.version, int(address)


def _services(targets: Iterable[SrvTarget], addresses: dict[str, Records | None]) -> list[BackendSpec]:
    """The backends of SRV records, the first priority first. Of two with one address the first counts."""
    classes: dict[int, list[SrvTarget]] = {}
    for target in sorted(targets):
        if addresses[target.host] is not None and target.port:
            classes.setdefault(target.priority, []).append(target)
    found: dict[str, BackendSpec] = {}
    for rank, members in enumerate(classes.values()):
        weights = scaled([target.weight for target in members])
        for target, weight in zip(members, weights, strict=True):
            records = addresses[target.host]
            for host in records.values if records is not None else ():
                spec = _spec(host, target.port, weight, rank)
                found.setdefault(spec.address, spec)
    return sorted(found.values(), key=lambda spec: (spec.priority, _numeric(spec.host), spec.port))


def scaled(weights: Sequence[int]) -> list[int]:
    """Weights of SRV records (0 to 65535) as those of backends (1 to 256), in proportion.

    In SRV a weight of 0 means "a very small chance" beside others and an equal share among zeros (RFC 2782); a
    backend of weight 0 would get nothing.
    """
    if not any(weights):
        return [1] * len(weights)
    divisor = gcd(*weights)
    most = max(weights) // divisor
    if most > WEIGHT_MAX or 0 in weights:
        return [max(1, round(weight * WEIGHT_MAX / max(weights))) for weight in weights]
    return [weight // divisor for weight in weights]
