"""What a configuration says of limits, as specs: rate limits, load shedding, the breaker, the adaptive limit."""

from __future__ import annotations

from ..limits.rate import RateSpec, StoreSpec
from ..limits.shedding import ShedSpec
from ..plan import KeySpec, RateLimitSpec
from ..stages.request_key import key_parts
from ..stages.shared_limits import SharedBuckets
from ..upstream.breaker import BreakerSpec
from ..upstream.concurrency import ConcurrencySpec
from .schema import Config, Route
from .sections import overload


def compile_rate_limit(name: str, limit: overload.RateLimit, route: Route) -> RateLimitSpec:
    """Raises ValueError if the route has no such part, or the store cannot be used."""
    key = checked_key(KeySpec(limit.key, route.pattern()))
    store = compile_store(limit.shared) if limit.shared is not None else None
    if store is not None:
        SharedBuckets(store)
    return RateLimitSpec(compile_rate(name, limit), key, store)


def checked_key(key: KeySpec) -> KeySpec:
    """The same. Raises ValueError if it names a group that the pattern has not."""
    key_parts(key)
    return key


def compile_rate(name: str, limit: overload.RateLimit) -> RateSpec:
    return RateSpec(name, limit.rate.requests, limit.rate.period, limit.burst or limit.rate.requests, limit.dry_run)


def compile_store(store: overload.SharedStore) -> StoreSpec:
    return StoreSpec(store.url, store.timeout, store.prefix)


def compile_shedding(config: Config) -> ShedSpec | None:
    wanted = config.shedding
    return ShedSpec(wanted.lag or 0.0, wanted.memory or 0) if wanted is not None else None


def compile_breaker(breaker: overload.Breaker | None) -> BreakerSpec | None:
    if breaker is None:
        return None
    return BreakerSpec(
        breaker.failures,
        breaker.slow or 0.0,
        breaker.requests,
        breaker.window,
        breaker.open,
        max(breaker.open, breaker.open_max),
        breaker.trials,
    )


def compile_concurrency(wanted: overload.Concurrency | None) -> ConcurrencySpec | None:
    if wanted is None:
        return None
    return ConcurrencySpec(
        min(wanted.min, wanted.max), max(wanted.min, wanted.max), wanted.interval, wanted.samples, wanted.buffer
    )
