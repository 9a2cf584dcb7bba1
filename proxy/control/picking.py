"""From the configuration to how the backends of an upstream are picked: the algorithm, its key, and who stays where.

Law of this file: an algorithm is tried out here, on backends that nobody uses, before it is let near a request.
"""

from __future__ import annotations

from socket import gethostname

from ..balancing import Balancer
from ..balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec, compose, needs_key, spare
from ..balancing.sticky import StickySpec
from ..request_key import RequestKey
from ..upstream.backend import Backend
from ..upstream.group import Group, GroupSpec
from .admitting import request_key
from .schema import Config, Route, Upstream
from .sticking import Stickiness

Balancers = tuple[Balancer, Balancer]
"""An algorithm, and its spare."""


def compile_balance(upstream: Upstream, config: Config, sticky: StickySpec | None) -> BalanceSpec:
    balance, zones, subset = upstream.balance, upstream.zones, upstream.subset
    levels = any(backend.priority for backend in upstream.backends) or upstream.discover is not None
    zone = None
    if zones is not None and config.zone is not None:
        zone = ZoneSpec(config.zone, tuple(sorted(zones.proxies.items())), zones.min_backends)
    return BalanceSpec(
        balance.algorithm,
        dict(balance.params),
        balance.fallback,
        upstream.overprovisioning if levels else None,
        zone,
        SubsetSpec(subset, config.identity or gethostname()) if subset is not None else None,
        sticky,
    )


def compile_balancers(upstream: Upstream, spec: GroupSpec) -> Balancers:
    """The algorithm of an upstream, tried out on backends that nobody uses, and its spare. Raises ValueError."""
    trial = compose(spec.balance)
    trial.rebuild([Backend(backend) for backend in spec.backends])
    if needs_key(spec.balance) and not upstream.balance.key:
        raise ValueError("the algorithm needs a key: say where it comes from with `key`")
    return compose(spec.balance), spare(spec.balance)


def stickiness_of(route: Route, upstream: Upstream, spec: GroupSpec, group: Group) -> Stickiness | None:
    """What keeps the clients of a route at their backends, if anything does."""
    sticky = spec.balance.sticky
    if upstream.sticky is None or sticky is None:
        return None
    return Stickiness(upstream.sticky, sticky, route, group.board)


def compile_key(route: Route, upstream: Upstream, spec: GroupSpec, stickiness: Stickiness | None) -> RequestKey | None:
    """What requests of a route are picked for by; None if the algorithm goes by nothing. Raises ValueError."""
    key = request_key(upstream.balance.key, route.pattern()) if needs_key(spec.balance) else None
    return stickiness.key(key) if stickiness is not None else key
