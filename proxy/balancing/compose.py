"""From what the configuration says of balancing to one object: the algorithm, and what stands before it.

Law of this file: what is not asked for is not there, so an upstream with an algorithm and nothing else pays for nothing
else. From the outside in: stickiness, with or without a key, subset, priorities, zones, and in each of these parts the
algorithm.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from . import create
from .base import Balancer
from .keyed import Keyed
from .levels import Levels
from .parts import Make
from .sticky import Sticky, StickySpec
from .subset import Subset
from .zones import Zones


class ZoneSpec(NamedTuple):
    """Where this proxy is, and how many proxies each zone has."""

    zone: str
    proxies: tuple[tuple[str, int], ...] = ()
    min_backends: int = 6


class SubsetSpec(NamedTuple):
    """How many backends this proxy uses, and by which name."""

    size: int
    identity: str


class BalanceSpec(NamedTuple):
    """How the backends of an upstream are picked."""

    algorithm: str = "round_robin"
    params: Mapping[str, Any] = {}
    fallback: str = "power_of_two"
    """The algorithm for requests that lack the key, and if the other one fails."""
    overprovisioning: float | None = None
    """The factor of priorities; None if all backends have the same."""
    zone: ZoneSpec | None = None
    subset: SubsetSpec | None = None
    sticky: StickySpec | None = None


def compose(spec: BalanceSpec) -> Balancer:
    """What picks the backends of an upstream. Raises ValueError in words for people."""
    main = layered(spec, partial(create, spec.algorithm, **spec.params))
    if needs_key(spec):
        main = Keyed(main, layered(spec, partial(create, spec.fallback)))
    return stuck(spec, main)


def spare(spec: BalanceSpec) -> Balancer:
    """What picks instead if the algorithm fails, or for requests without a key."""
    return stuck(spec, layered(spec, partial(create, spec.fallback)))


def stuck(spec: BalanceSpec, main: Balancer) -> Balancer:
    """`main` behind the stickiness of the upstream."""
    return main if spec.sticky is None else Sticky(main, spec.sticky)


def layered(spec: BalanceSpec, make: Make) -> Balancer:
    """The algorithms that `make` makes, behind what divides their members."""
    if spec.zone is not None:
        make = partial(Zones, make, spec.zone.zone, dict(spec.zone.proxies), spec.zone.min_backends)
    if spec.overprovisioning is not None:
        make = partial(Levels, make, spec.overprovisioning)
    if spec.subset is not None:
        make = partial(Subset, make, spec.subset.size, spec.subset.identity)
    return make()


def wants_reports(spec: BalanceSpec) -> bool:
    """Whether the algorithm goes by what backends report of their load."""
    return create(spec.algorithm, **spec.params).wants_reports


def needs_key(spec: BalanceSpec) -> bool:
    """Whether the algorithm goes by a key, and so the configuration has to say where it comes from."""
    return create(spec.algorithm, **spec.params).needs_key
