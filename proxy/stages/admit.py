"""admit: whether a request is admitted. Each stage here but `Admit` is linked only into routes that configure it.

Law of this file: a refusal has a Retry-After, and the request has entered no later stage. The arithmetic is in limits/
and upstream/breaker.py.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any, Protocol

from ..errors import BODY_TOO_LARGE, BREAKER_OPEN, INTERNAL, MAX_FORWARDS, OVERLOADED, RATE_LIMITED
from ..exchange import Exchange, Stage
from ..http.local_replies import ALLOW, LocalReply, proxy_status
from ..http1.codec import MAX_FORWARDS as H_MAX_FORWARDS
from ..http1.codec import UPGRADE
from ..limits.buckets import Buckets
from ..limits.rate import SECOND, RateSpec, StoreSpec, bucket_key, salt_of
from ..limits.shedding import Shedder
from ..metrics import L_REFUSED, L_REMOTE_FAILED, L_TAKEN, L_WOULD_REFUSE
from ..plan import LinkContext, RouteSpec
from ..upstream.breaker import Breaker
from ..upstream.group import Group
from .finish import local_error, local_reply
from .request_key import RequestKey, key_parts

log = logging.getLogger("qantara")

MOST_NUMBERS = 1024
"""Keys with a cached bucket, per rate limit and worker."""
LONGEST_KEY = 128
"""Bytes of a key that is cached, at most."""


class Remote(Protocol):
    """The buckets that all machines share."""

    def take(self, spec: RateSpec, key: int, asking: Asking) -> None:
        """Take a token, and call `asking.decided` later, in any case and in good time."""


class Admit(Stage):
    """Rejects too large bodies, and answers requests that may not be forwarded (RFC 9110 7.6.2)."""

    def enter(self, x: Exchange) -> None:
        head, route = x.head, x.route
        assert route is not None
        if head.content_length > route.body_size or x.bytes_in > route.body_size:
            local_error(x, BODY_TOO_LARGE)
            return
        if head.has(H_MAX_FORWARDS) and head.method == b"OPTIONS" and head.value(H_MAX_FORWARDS) == b"0":
            self.no_further(x)
            return
        if head.upgrade and head.has(UPGRADE):
            asked = head.get_all(b"upgrade")
            x.upgrading = not x.http10 and len(asked) == 1 and asked[0].lower() in route.upgrades
        self.next.enter(x)

    def no_further(self, x: Exchange) -> None:
        """Answer OPTIONS for the proxy itself."""
        plan = x.plan
        assert plan is not None
        status = proxy_status(plan.settings.via or "qantara", MAX_FORWARDS)
        local_reply(x, LocalReply(MAX_FORWARDS, (ALLOW, status)))


class Shed(Stage):
    """Refuses a share of the requests of a priority while the worker is overloaded."""

    def __init__(self, shedder: Shedder, priority: int, following: Stage) -> None:
        super().__init__(following)
        self.shedder = shedder
        self.priority = priority

    def enter(self, x: Exchange) -> None:
        if self.shedder.level > 0.0 and self.shedder.refuses(self.priority):
            local_error(x, OVERLOADED)
            return
        self.next.enter(x)


class RateLimit(Stage):
    """Takes a token from the bucket of the request's key; a request without a key is not limited."""

    def __init__(self, spec: RateSpec, key: RequestKey, following: Stage) -> None:
        super().__init__(following)
        self.spec = spec
        self.interval = spec.interval
        self.depth = spec.depth
        self.key = key
        """The key of a bucket. Without parts there is one bucket for all requests."""
        self.numbers: dict[bytes, int] = {}
        """A cache of the buckets of recent keys: hashing a key costs as much as taking a token."""

    def share(self, salt: bytes, buckets: Buckets, rows: Any, remote: Remote | None) -> None:
        """Link it to the shared buckets and counters, and to the store of all machines."""
        self.salt = salt
        self.buckets = buckets
        self.rows = rows
        self.remote = remote

    def enter(self, x: Exchange) -> None:
        key = self.key.of(x)
        if key is None:
            self.next.enter(x)
            return
        known = self.numbers.get(key)
        number = self.number_of(key) if known is None else known
        began = x.started
        if x.was_delayed:
            began = monotonic()
        wait = self.buckets.take(number, int(began * SECOND), self.interval, self.depth)
        if wait:
            self.refuse(x, wait)
        elif self.remote is not None:
            x.wait = asking = Asking(x, self)
            self.remote.take(self.spec, number, asking)
        else:
            self.rows[L_TAKEN] += 1
            self.next.enter(x)

    def number_of(self, key: bytes) -> int:
        """The number of a key's bucket, cached."""
        number = bucket_key(self.salt, key)
        if len(self.numbers) >= MOST_NUMBERS:
            self.numbers.clear()
        if len(key) <= LONGEST_KEY:
            self.numbers[key] = number
        return number

    def refuse(self, x: Exchange, wait: int) -> None:
        """Refuse a request that is `wait` ns too early."""
        if self.spec.dry_run:
            self.rows[L_WOULD_REFUSE] += 1
            self.next.enter(x)
            return
        self.rows[L_REFUSED] += 1
        local_error(x, RATE_LIMITED, self.spec.refusal(wait))


class Asking:
    """A request that waits until the store of all machines has decided. It is the request's `wait`: the end of the
    request cancels it."""

    def __init__(self, x: Exchange, stage: RateLimit) -> None:
        self.x: Exchange | None = x
        self.stage = stage

    def cancel(self) -> None:
        """The request has ended."""
        self.x = None

    def decided(self, wait: int, failed: bool = False) -> None:
        """The decision: admitted if `wait` is 0 or the store has `failed`, else `wait` ns too early."""
        x = self.x
        if x is None:
            return
        self.x = None
        x.wait = None
        x.was_delayed = True
        try:
            if wait:
                self.stage.refuse(x, wait)
                return
            self.stage.rows[L_REMOTE_FAILED if failed else L_TAKEN] += 1
            self.stage.next.enter(x)
        except Exception:  # no caller above would answer the client
            log.exception("a defect of the proxy, after a rate limit was asked")
            local_error(x, INTERNAL)


class Break(Stage):
    """Refuses all requests while the upstream's circuit breaker is open."""

    def __init__(self, group: Group, following: Stage) -> None:
        super().__init__(following)
        self.group = group  # the exchange has none yet: its upstream is picked behind this stage

    def enter(self, x: Exchange) -> None:
        breaker: Breaker | None = self.group.overload.breaker
        if breaker is not None and breaker.opened:
            wait = breaker.wait(monotonic() if x.was_delayed else x.started)
            if wait > 0.0:
                local_error(x, BREAKER_OPEN, (("Retry-After", str(int(wait) + 1)),))
                return
        self.next.enter(x)


# --- links ------------------------------------------------------------------------------------------------------------


def link_admit(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """On every route to an upstream."""
    return Admit(following) if spec.group is not None else following


def link_breaker(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """Where the upstream has a circuit breaker."""
    if spec.group is None or spec.group.breaker is None:
        return following
    return Break(context.runtime.group(spec.upstream), following)


def link_shedding(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """Where the configuration has `shedding`."""
    if spec.group is None or "shedding" not in spec.features:
        return following
    return Shed(context.runtime.shedder, spec.priority, following)


def link_rate_limits(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """The rate limits of the route, in their order. Raises ValueError."""
    runtime = context.runtime
    for limit in reversed(spec.rate_limits):
        store, rate, board = limit.store, limit.rate, runtime.board
        remote = runtime.remote(store, open_store) if store is not None else None
        salt = salt_of(board.secret() if remote is None else 0, rate.name)
        stage = RateLimit(rate, RequestKey(key_parts(limit.key)), following)
        stage.share(salt, runtime.buckets, board.limit_row(rate.name), remote)
        following = stage
    return following


def open_store(store: StoreSpec) -> Remote:
    """The buckets in a store. Raises ValueError if the package that speaks to it is not installed."""
    from .shared_limits import SharedBuckets  # only where limits are shared

    return SharedBuckets(store)
