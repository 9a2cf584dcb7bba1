"""From what the configuration says of balancing to one object: the algorithm, and what stands before it.

Law of this file: what is not asked for is not there, so an upstream with an algorithm and nothing else pays for nothing
else. From the outside in: stickiness, with or without a key, priorities, zones, subset, and in each of these parts the
algorithm, around one of a user's own what watches how long it takes. Of the parts a subset is innermost, since
priorities and zones are shared out by how many backends there are, not by how many of them this proxy uses: it uses so
many of each priority and zone that it sends to.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, Protocol

from . import create
from .base import Balancer
from .wrappers.keyless import KeylessFallback
from .wrappers.partition import Make
from .wrappers.priorities import Priorities
from .wrappers.subset import Subset
from .wrappers.time_guard import CallTimes, guarded
from .wrappers.zones import ZoneAware


class ZoneSpec(NamedTuple):
    """Where this proxy is, and how many proxies each zone has."""

    zone: str
    proxies: tuple[tuple[str, int], ...] = ()
    min_backends: int = 6


class SubsetSpec(NamedTuple):
    """How many backends this proxy uses, and by which name."""

    size: int
    identity: str


class Outermost(Protocol):
    """What stands before everything else: the stickiness of an upstream (features/sticky/)."""

    def wrap(self, main: Balancer) -> Balancer:
        """`main` behind it."""


class BalanceSpec(NamedTuple):
    """How the backends of an upstream are picked."""

    algorithm: str = "round_robin"
    params: Mapping[str, Any] = {}
    fallback: str = "power_of_two"
    """The algorithm for requests that lack the key, and if the other one fails. It needs none itself."""
    overprovisioning: float | None = None
    """The factor of priorities; None if all backends have the same."""
    zone: ZoneSpec | None = None
    subset: SubsetSpec | None = None
    sticky: Any = None
    """An `Outermost`, None without one."""
    slow: float = 0.0
    """How long a call of the algorithm may take, in seconds, before it counts as slow; 0 if nobody looks. The fallback
    is not guarded: there is nobody to take its place."""


def compose(spec: BalanceSpec) -> Balancer:
    """What picks the backends of an upstream. Raises ValueError in words for people."""
    make: Make = partial(create, spec.algorithm, **spec.params)
    if spec.slow > 0:
        make = partial(guarded, make, CallTimes(spec.slow, monotonic))
    main = layered(spec, make)
    if main.needs_key and not main.needs_location:  # a location may be unknown, but it is never missing
        main = KeylessFallback(main, _spare(spec))
    return stuck(spec, main)


def spare(spec: BalanceSpec) -> Balancer:
    """What picks instead if the algorithm fails, or for requests without a key. Raises ValueError."""
    return stuck(spec, _spare(spec))


def _spare(spec: BalanceSpec) -> Balancer:
    found = layered(spec, partial(create, spec.fallback))
    if found.needs_key or found.needs_location:
        raise ValueError(f"fallback: {spec.fallback} needs a key itself; take one that does not, such as power_of_two")
    return found


def stuck(spec: BalanceSpec, main: Balancer) -> Balancer:
    """`main` behind the stickiness of the upstream."""
    sticky: Outermost | None = spec.sticky
    return main if sticky is None else sticky.wrap(main)


def layered(spec: BalanceSpec, make: Make) -> Balancer:
    """The algorithms that `make` makes, behind what divides their members."""
    if spec.subset is not None:
        make = partial(Subset, make, spec.subset.size, spec.subset.identity)
    if spec.zone is not None:
        make = partial(ZoneAware, make, spec.zone.zone, dict(spec.zone.proxies), spec.zone.min_backends)
    if spec.overprovisioning is not None:
        make = partial(Priorities, make, spec.overprovisioning)
    return make()


def wants_reports(spec: BalanceSpec) -> bool:
    """Whether the algorithm goes by what backends report of their load."""
    return create(spec.algorithm, **spec.params).wants_reports
