"""From the configuration to how backends are picked: the algorithm, its subsets, its key, and who stays where.

Law of this file: an algorithm is tried out here, on backends that nobody uses, before it is let near a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from socket import gethostname
from typing import NamedTuple

from ..balancing import Balancer, create
from ..balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec, compose, spare
from ..features.geo.key import LocatedKey
from ..features.geo.locator import Locator
from ..features.sticky.balancer import StickySpec
from ..stages.request_key import RequestKey
from ..upstream.backend import Backend, BackendSpec
from ..upstream.group import Group
from ..upstream.picker import Picker, Selector
from ..upstream.spec import GroupSpec
from .admitting import key_parts
from .geo import locations
from .rules import Finding
from .schema import Config, Route, Upstream
from .sticking import Stickiness
from .user_code import own_names, tried

Balancers = tuple[Balancer, Balancer]
"""An algorithm, and its spare."""


class Picking(NamedTuple):
    """What picks the backends of an upstream, tried out, and what it wants to know of requests."""

    spec: GroupSpec
    needs_key: bool
    needs_location: bool
    balancers: Balancers
    subsets: dict[Selector, Balancers]
    """For the labels that routes want."""


def compile_balance(
    upstream: Upstream, config: Config, sticky: StickySpec | None, members: Sequence[BackendSpec] = ()
) -> BalanceSpec:
    """`members` are the backends that the upstream has now: there are priorities if one of them has one, or one that
    the file lists, which may come back, or if a source may find one."""
    balance, zones, subset = upstream.balance, upstream.zones, upstream.subset
    priorities = [*(each.priority for each in upstream.backends), *(each.priority for each in members)]
    levels = any(priorities) or upstream.discover is not None
    zone = None
    if zones is not None and config.zone is not None:
        zone = ZoneSpec(config.zone, tuple(sorted(zones.proxies.items())), zones.min_backends)
    params = dict(balance.params)
    if balance.algorithm == "geographic":
        params.setdefault("locations", dict(locations(config.geo)))
    return BalanceSpec(
        balance.algorithm,
        params,
        balance.fallback,
        upstream.overprovisioning if levels else None,
        zone,
        SubsetSpec(subset, config.identity or gethostname()) if subset is not None else None,
        sticky,
        balance.slow if balance.own_code else 0.0,
    )


def compile_pickings(config: Config, specs: Mapping[str, GroupSpec]) -> tuple[dict[str, Picking], list[Finding]]:
    """That of each upstream, and what is wrong with it."""
    found, findings = {}, []
    wanted: dict[str | None, set[Selector]] = {}
    for route in config.routes:
        if (selector := selector_of(route)) is not None:
            wanted.setdefault(route.upstream, set()).add(selector)
    for name, spec in specs.items():
        try:
            upstream = config.upstreams[name]
            found[name] = compile_picking(upstream, spec, config.geo is not None, wanted.get(name, ()))
        except ValueError as error:
            findings.append(Finding(("upstreams", name, "balance"), str(error)))
    return found, findings


def compile_picking(upstream: Upstream, spec: GroupSpec, located: bool, wanted: Iterable[Selector]) -> Picking:
    """Tries the algorithm of an upstream out, and its spare; `located`: whether locations of clients are found out;
    `wanted`: the labels that routes want. Raises ValueError."""
    balance, own = spec.balance, own_names(spec.balance)
    algorithm = tried(own, "__init__", create, balance.algorithm, **balance.params)
    if algorithm.needs_key and not upstream.balance.key:
        raise ValueError("the algorithm needs a key: say where it comes from with `key`")
    if algorithm.needs_location and not located:
        raise ValueError("the algorithm needs to know where clients are: say where it is found out with `geo`")
    trial = tried(own, "__init__", compose, balance._replace(slow=0.0))  # nobody waits for it
    members = [Backend(backend) for backend in spec.backends]
    tried(own, "members", type(trial).members, trial, members, members, members)
    subsets = {selector: made(balance) for selector in wanted}
    return Picking(spec, algorithm.needs_key, algorithm.needs_location, made(balance), subsets)


def made(balance: BalanceSpec) -> Balancers:
    """Those of one picker. Raises ValueError."""
    own = own_names(balance)
    return tried(own, "__init__", compose, balance), tried(own, "__init__", spare, balance)


def selector_of(route: Route) -> Selector | None:
    """The labels that a route wants its backends to have."""
    if not route.subset:
        return None
    return Selector(tuple(sorted(route.subset.items())), route.subset_fallback == "any")


def picker_of(route: Route, group: Group) -> Picker:
    """The members that a route may use."""
    selector = selector_of(route)
    return group if selector is None else group.subset(selector)


def stickiness_of(route: Route, upstream: Upstream, spec: GroupSpec, group: Group) -> Stickiness | None:
    """What keeps the clients of a route at their backends, if anything does."""
    sticky = spec.balance.sticky
    if upstream.sticky is None or sticky is None:
        return None
    return Stickiness(upstream.sticky, sticky, route, group.board)


def compile_key(
    route: Route, upstream: Upstream, picking: Picking, locator: Locator | None, stickiness: Stickiness | None
) -> RequestKey | None:
    """What requests of a route are picked for by; None if the algorithm goes by nothing. Raises ValueError."""
    parts = key_parts(upstream.balance.key, route.pattern()) if picking.needs_key else []
    key: RequestKey | None = None
    if picking.needs_location and locator is not None:
        key = LocatedKey(locator, parts)
    elif picking.needs_key:
        key = RequestKey(parts)
    return stickiness.key(key) if stickiness is not None else key
