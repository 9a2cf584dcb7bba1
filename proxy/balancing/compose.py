"""From the `balance` of a configuration to one object: the algorithm inside of its wrappers.

Law of this file: only configured wrappers are made, so an upstream with an algorithm and nothing else has nothing in
its way. From the outside in: stickiness, fallback without a key, priorities, zones, subset, and in each of these parts
the algorithm, a user's own inside of a time guard. Of the partitions a subset is innermost, since shares of priorities
and zones follow from all backends, not from those that this proxy uses: it uses `size` of each part that gets requests.
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
    """The zone of this proxy, and the number of proxies of each zone."""

    zone: str
    proxies: tuple[tuple[str, int], ...] = ()
    min_backends: int = 6


class SubsetSpec(NamedTuple):
    """The number of backends that this proxy uses, and its name."""

    size: int
    identity: str


class Outermost(Protocol):
    """The outermost wrapper: sticky sessions of an upstream (features/sticky/)."""

    def wrap(self, main: Balancer) -> Balancer:
        """`main` inside of it."""


class BalanceSpec(NamedTuple):
    """The algorithm of an upstream and its wrappers."""

    algorithm: str = "round_robin"
    params: Mapping[str, Any] = {}
    fallback: str = "power_of_two"
    """The algorithm for requests without a key, and after a failure of the other one. It needs no key itself."""
    overprovisioning: float | None = None
    """The factor of priorities; None if all backends have the same."""
    zone: ZoneSpec | None = None
    subset: SubsetSpec | None = None
    sticky: Any = None
    """An `Outermost`, None without one."""
    slow: float = 0.0
    """The limit of a call of the algorithm in seconds, above which it is slow; 0 for none. The fallback has none, since
    it has no fallback itself."""


def compose(spec: BalanceSpec) -> Balancer:
    """The balancer of an upstream. Raises ValueError in words for people."""
    make: Make = partial(create, spec.algorithm, **spec.params)
    if spec.slow > 0:
        make = partial(guarded, make, CallTimes(spec.slow, monotonic))
    main = layered(spec, make)
    if main.needs_key and not main.needs_location:  # a location may be unknown, but it is never missing
        main = KeylessFallback(main, _spare(spec))
    return with_sessions(spec, main)


def spare(spec: BalanceSpec) -> Balancer:
    """The balancer that takes over after a failure of the algorithm. Raises ValueError."""
    return with_sessions(spec, _spare(spec))


def _spare(spec: BalanceSpec) -> Balancer:
    found = layered(spec, partial(create, spec.fallback))
    if found.needs_key or found.needs_location:
        raise ValueError(f"fallback: {spec.fallback} needs a key itself; take one that does not, such as power_of_two")
    return found


def with_sessions(spec: BalanceSpec, main: Balancer) -> Balancer:
    """`main` inside of the sticky sessions of the upstream."""
    sticky: Outermost | None = spec.sticky
    return main if sticky is None else sticky.wrap(main)


def layered(spec: BalanceSpec, make: Make) -> Balancer:
    """The algorithms of `make` inside of the partitions of their members."""
    if spec.subset is not None:
        make = partial(Subset, make, spec.subset.size, spec.subset.identity)
    if spec.zone is not None:
        make = partial(ZoneAware, make, spec.zone.zone, dict(spec.zone.proxies), spec.zone.min_backends)
    if spec.overprovisioning is not None:
        make = partial(Priorities, make, spec.overprovisioning)
    return make()


def wants_reports(spec: BalanceSpec) -> bool:
    """Whether the algorithm goes by load reports."""
    return create(spec.algorithm, **spec.params).wants_reports
