"""Rate limits by name, which routes refer to: rates, keys and shared stores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from pydantic import AfterValidator, PlainSerializer, PlainValidator, WithJsonSchema

from .. import values as units
from ..fields import Count, Duration, List, Section, bare, duration
from ..findings import Finding, PlainData, did_you_mean, entries, mapping, routes_of
from ..findings import Path as FindingPath
from ..values import quoted

if TYPE_CHECKING:
    from ...plan import KeySpec, RateLimitSpec
    from ..schema import Config, Route


class Rate(NamedTuple):
    """A number of requests per `period` seconds."""

    requests: int
    period: float
    text: str

    def __str__(self) -> str:
        return self.text


RATE = r"([1-9][0-9]{0,8})/((?:[1-9][0-9]{0,5})?)(s|m|h|d)"

_PERIODS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_rate(value: object) -> Rate:
    """A rate such as 100/s, 1000/10s or 5000/h."""
    found = re.fullmatch(RATE, value) if isinstance(value, str) else None
    if found is None or not isinstance(value, str):
        raise ValueError(f"must be a rate such as 100/s, 1000/10s or 5000/h, not {units.described(value)}")
    rate = Rate(int(found[1]), float(found[2] or 1) * _PERIODS[found[3]], value)
    if rate.requests > 1e9 * rate.period:
        raise ValueError("must be at most 1000000000/s")
    return rate


def check_rate_key(value: str) -> str:
    """A part of the key of a rate limit."""
    if value == "client_ip":
        return value
    try:
        return units.check_key(value)
    except ValueError as error:
        raise ValueError(str(error).replace("must be", "must be client_ip,", 1)) from None


def check_redis_url(value: str) -> str:
    if not re.fullmatch(r"(redis|rediss|unix)://[^\s\x00-\x1f\x7f]+", value):
        raise ValueError(f"must be redis://host:port/database, rediss://… or unix://…, not {units.quoted(value)}")
    return value


RateText = Annotated[
    Rate,
    PlainValidator(parse_rate),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^{RATE}$", "examples": ["100/s", "1000/10s", "5000/h"]}),
]

RateKey = Annotated[str, AfterValidator(check_rate_key)]


class SharedStore(Section):
    url: Annotated[str, AfterValidator(check_redis_url)]
    """The Redis server, or a compatible one: redis://host:port/database. A bare string means this."""
    timeout: Duration = duration("50ms")
    """The time-out of the store, after which only the limit of this machine applies."""
    prefix: str = "qantara:"
    """The prefix of its keys in the store."""


class RateLimitSection(Section):
    rate: RateText
    """Requests per time: 100/s, 1000/10s, 5000/h."""
    burst: Count | None = None
    """The burst: requests allowed at once; as many as in the rate if absent."""
    key: List[RateKey] = ("client_ip",)
    """The key of a bucket: client_ip, header:NAME, cookie:NAME, query:NAME, path:NAME, or several of them together; an
    empty list is one bucket for all requests. A request without the key is not limited."""
    dry_run: bool = False
    """Whether refusals are only counted, and the requests admitted."""
    shared: Annotated[SharedStore, bare("url", SharedStore)] | None = None
    """A store shared with other machines; null for a limit per machine."""


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    """Names that routes refer to."""
    limits = mapping(parent.get("rate_limits"))
    for where, route in routes_of(document):
        for at, name in entries((*where, "rate_limits"), route.get("rate_limits")):
            if isinstance(name, str) and name not in limits:
                yield Finding(at, f"there is no rate limit {quoted(name)}{did_you_mean(name, limits)}")


def limits_of(route: Route, config: Config) -> tuple[RateLimitSpec, ...]:
    """The rate limits of a route. Raises ValueError if one of them cannot apply there."""
    return tuple(spec_of(name, config.rate_limits[name], route) for name in route.rate_limits)


def spec_of(name: str, limit: RateLimitSection, route: Route) -> RateLimitSpec:
    """Raises ValueError if the route has no such part, or the store cannot be used."""
    from ...limits.rate import RateSpec, StoreSpec
    from ...plan import KeySpec, RateLimitSpec

    rate = RateSpec(name, limit.rate.requests, limit.rate.period, limit.burst or limit.rate.requests, limit.dry_run)
    key = checked_key(KeySpec(limit.key, route.pattern()))
    store = None
    if limit.shared is not None:
        from ...stages.shared_limits import SharedBuckets  # here, since its package is optional

        store = StoreSpec(limit.shared.url, limit.shared.timeout, limit.shared.prefix)
        SharedBuckets(store)
    return RateLimitSpec(rate, key, store)


def checked_key(key: KeySpec) -> KeySpec:
    """The same. Raises ValueError if it names a group that the pattern has not."""
    from ...stages.request_key import key_parts

    key_parts(key)
    return key
