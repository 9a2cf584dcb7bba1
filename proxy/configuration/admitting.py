"""What stands at the door: the stages of admit that a route asks for, linked before the ones that it has anyway.

Law of this file: what a route does not ask for is not linked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..balancing.keys import Key, make_key
from ..exchange import Stage
from ..features.geo.locator import Locator
from ..limits.rate import RateSpec, StoreSpec, salt_of
from ..limits.shedding import PRIORITIES, ShedSpec
from ..runtime import Registry
from ..stages.admit import Break, RateLimit, Remote, Shed
from ..stages.request_key import RequestKey
from ..stages.shared_limits import SharedBuckets
from ..upstream.breaker import BreakerSpec
from ..upstream.concurrency import ConcurrencySpec
from ..upstream.group import Group
from .schema import Config, Route, Upstream
from .sections import overload


class Door:
    """The stages of one configuration, for the live state of one worker."""

    def __init__(self, config: Config, registry: Registry, locator: Locator | None = None) -> None:
        self.config = config
        self.registry = registry
        self.locator = locator
        """Finds where a client is; None if nobody wants to know."""

    def limited(self, route: Route, following: Stage) -> Stage:
        """`following` behind the rate limits of a route, in their order. Raises ValueError."""
        for name in reversed(route.rate_limits):
            following = self._rate_limit(name, route, following)
        return following

    def _rate_limit(self, name: str, route: Route, following: Stage) -> Stage:
        limit = self.config.rate_limits[name]
        board = self.registry.board
        pattern = route.pattern()
        key = RequestKey(key_parts(limit.key, pattern))
        remote = self._remote(compile_store(limit.shared)) if limit.shared is not None else None
        salt = salt_of(board.secret() if remote is None else 0, name)
        spec = compile_rate(name, limit)
        return RateLimit(spec, salt, key, self.registry.buckets, board.limit_row(name), remote, following)

    def _remote(self, store: StoreSpec) -> Remote:
        """The buckets in a store: the same ones for all limits, and after a reload."""
        remotes = self.registry.remotes
        if store not in remotes:
            remotes[store] = SharedBuckets(store)
        remote: Remote = remotes[store]
        return remote

    def shed(self, route: Route, following: Stage) -> Stage:
        """`following`, unless the worker has too much to do for the priority of the route."""
        if self.config.shedding is None:
            return following
        return Shed(self.registry.shedder, PRIORITIES.index(route.priority), following)

    def unbroken(self, upstream: Upstream, group: Group, following: Stage) -> Stage:
        """`following`, unless the circuit breaker of the upstream is open."""
        return following if upstream.breaker is None else Break(group, following)


def key_parts(sources: Iterable[str], pattern: re.Pattern[bytes] | None) -> list[Key | None]:
    """The parts of a key from these sources. Raises ValueError if one names a group that `pattern` has not."""
    return [None if source == "client_ip" else make_key(source, pattern) for source in sources]


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
