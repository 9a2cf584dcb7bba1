"""From the configuration to how backends are picked: the algorithm, its subsets, its key.

Law of this file: an algorithm is tried out here, on backends that nobody uses, before it is let near a request.
"""

from __future__ import annotations

from collections.abc import Mapping
from socket import gethostname
from typing import NamedTuple

from ..balancing import create
from ..balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec, compose
from ..balancing.user_code import call_guarded, own_names
from ..features.sticky.balancer import StickySpec
from ..pipeline import make_balancers
from ..plan import KeySpec, LocatorSpec
from ..upstream.backend import Backend
from ..upstream.picker import Selector
from ..upstream.spec import GroupSpec
from .admitting import checked_key
from .geo import locations
from .rules import Finding
from .schema import Config, Route, Upstream


class Needs(NamedTuple):
    """What the algorithm of an upstream goes by."""

    key: bool
    location: bool


def compile_balance(upstream: Upstream, config: Config, sticky: StickySpec | None) -> BalanceSpec:
    """There are priorities if a backend that the file lists has one, or if a source may find one."""
    balance, zones, subset = upstream.balance, upstream.zones, upstream.subset
    levels = any(backend.priority for backend in upstream.backends) or upstream.discover is not None
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


def compile_pickings(config: Config, specs: Mapping[str, GroupSpec]) -> tuple[dict[str, Needs], list[Finding]]:
    """What the algorithm of each upstream needs, and what is wrong with it."""
    found, findings = {}, []
    for name, spec in specs.items():
        try:
            found[name] = compile_picking(config.upstreams[name], spec, config.geo is not None)
        except ValueError as error:
            findings.append(Finding(("upstreams", name, "balance"), str(error)))
    return found, findings


def compile_picking(upstream: Upstream, spec: GroupSpec, located: bool) -> Needs:
    """Tries the algorithm of an upstream out, and its spare; `located`: whether locations of clients are found out.
    Raises ValueError."""
    balance, own = spec.balance, own_names(spec.balance)
    algorithm = call_guarded(own, "__init__", create, balance.algorithm, **balance.params)
    if algorithm.needs_key and not upstream.balance.key:
        raise ValueError("the algorithm needs a key: say where it comes from with `key`")
    if algorithm.needs_location and not located:
        raise ValueError("the algorithm needs to know where clients are: say where it is found out with `geo`")
    try_out(spec)
    make_balancers(spec)
    return Needs(algorithm.needs_key, algorithm.needs_location)


def try_out(spec: GroupSpec) -> None:
    """Calls an algorithm with the members that it is to have. Raises ValueError."""
    own = own_names(spec.balance)
    trial = call_guarded(own, "__init__", compose, spec.balance._replace(slow=0.0))  # no request waits for it
    members = [Backend(backend) for backend in spec.backends]
    call_guarded(own, "roster", trial.roster, members)
    call_guarded(own, "census", trial.census, members)
    call_guarded(own, "rebuild", trial.rebuild, members)


def selector_of(route: Route) -> Selector | None:
    """The labels that a route wants its backends to have."""
    if not route.subset:
        return None
    return Selector(tuple(sorted(route.subset.items())), route.subset_fallback == "any")


def compile_key(route: Route, upstream: Upstream, needs: Needs, locator: LocatorSpec | None) -> KeySpec | None:
    """What requests of a route are picked for by; None if the algorithm goes by nothing. Raises ValueError."""
    sources = upstream.balance.key if needs.key else ()
    key = checked_key(KeySpec(sources, route.pattern()))
    if needs.location and locator is not None:
        return key._replace(locator=locator)
    return key if needs.key else None
