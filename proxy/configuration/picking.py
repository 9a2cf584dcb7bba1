"""Trial runs of the algorithms of upstreams: the keys that they need, and whether their hooks can be called.

Law of this file: an algorithm is called here with backends that serve no request, before it gets real ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..balancing import create
from ..balancing.compose import compose
from ..balancing.user_code import call_guarded, make_balancers, user_algorithms
from ..errors import ConfigError, Problem
from ..plan import KeySpec, LocatorSpec
from ..upstream.backend import Backend
from ..upstream.picker import Selector
from ..upstream.spec import GroupSpec
from .findings import Finding
from .schema import Config, Route, UpstreamSection
from .sections.rate_limits import checked_key


class Needs(NamedTuple):
    """The requirements of an upstream's algorithm on the key."""

    key: bool
    location: bool


def tried_out(config: Config, specs: Mapping[str, GroupSpec]) -> tuple[dict[str, Needs], list[Finding]]:
    """The requirements of each upstream's algorithm, and the findings."""
    found, findings = {}, []
    for name, spec in specs.items():
        try:
            found[name] = needs_of(config.upstreams[name], spec, config.geo is not None)
        except ValueError as error:
            findings.append(Finding(("upstreams", name, "balance"), str(error)))
    return found, findings


def needs_of(upstream: UpstreamSection, spec: GroupSpec, located: bool) -> Needs:
    """Runs the algorithm of an upstream, and its spare, once; `located`: whether `geo` locates clients. Raises
    ValueError."""
    balance, own = spec.balance, user_algorithms(spec.balance)
    algorithm = call_guarded(own, "__init__", create, balance.algorithm, **balance.params)
    if algorithm.needs_key and not upstream.balance.key:
        raise ValueError("the algorithm needs a key: say where it comes from with `key`")
    if algorithm.needs_location and not located:
        raise ValueError("the algorithm needs to know where clients are: say where it is found out with `geo`")
    try_out(spec)
    make_balancers(spec.balance)
    return Needs(algorithm.needs_key, algorithm.needs_location)


def try_out(spec: GroupSpec) -> None:
    """Calls the hooks of an algorithm with its future members. Raises ValueError."""
    own = user_algorithms(spec.balance)
    trial = call_guarded(own, "__init__", compose, spec.balance._replace(slow=0.0))  # no request waits for it
    members = [Backend(backend) for backend in spec.backends]
    call_guarded(own, "members", type(trial).members, trial, members, members, members)


def try_own(specs: Iterable[GroupSpec]) -> None:
    """As `try_out`, for the algorithms of a user's own. Raises ConfigError."""
    for spec in specs:
        if user_algorithms(spec.balance):
            try:
                try_out(spec)
            except ValueError as error:
                raise ConfigError([Problem("", 0, 0, f"upstreams.{spec.name}.balance", str(error))]) from error


def selector_of(route: Route) -> Selector | None:
    """The labels that backends of a route must have."""
    if not route.subset:
        return None
    return Selector(tuple(sorted(route.subset.items())), route.subset_fallback == "any")


def key_of(route: Route, upstream: UpstreamSection, needs: Needs, locator: LocatorSpec | None) -> KeySpec | None:
    """The key for the algorithm of a route; None without one. Raises ValueError."""
    sources = upstream.balance.key if needs.key else ()
    key = checked_key(KeySpec(sources, route.pattern()))
    if needs.location and locator is not None:
        return key._replace(locator=locator)
    return key if needs.key else None
