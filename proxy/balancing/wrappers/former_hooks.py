"""Algorithms with the hook names of the release before: `members` was `roster`, `census` and `rebuild`, `assigned` was
`took`, `released` was `dropped`, `candidates` was `reach`.

Law of this file: it is for one release. `create` puts the wrapper around an algorithm whose class defines a former name
further down than the present one; any other algorithm has nothing in its way. There is one warning for each class.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import MethodType
from typing import Any
from weakref import WeakSet

from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport
from ..base import Balancer, Done

FORMER = {
    "roster": "members",
    "census": "members",
    "rebuild": "members",
    "took": "assigned",
    "dropped": "released",
    "reach": "candidates",
}

log = logging.getLogger("qantara.balancing")
warned: WeakSet[type] = WeakSet()


def former_names(kind: type[Balancer]) -> list[str]:
    """The former names that count in a class: those defined by a class that does not define the present name too, and
    is not above one that does."""
    return [old for old, new in FORMER.items() if depth(kind, old) < depth(kind, new)]


def depth(kind: type[Balancer], name: str) -> int:
    """The place in the order of method resolution of the class that defines a name; Balancer's if none below does."""
    order = kind.__mro__[: kind.__mro__.index(Balancer)]
    return next((at for at, each in enumerate(order) if name in vars(each)), len(order))


def with_present_hooks(balancer: Balancer) -> Balancer:
    """The algorithm itself, or behind a wrapper if its class defines former names; that is logged once per class."""
    kind = type(balancer)
    names = former_names(kind)
    if not names:
        return balancer
    if kind not in warned:
        warned.add(kind)
        log.warning("%s", advice(kind, names))
    return FormerHooks(balancer, names)


def advice(kind: type[Balancer], names: Sequence[str]) -> str:
    """The names to change in a class, as a sentence."""
    new = [f"`{each}` is `{FORMER[each]}` now" for each in names]
    return (
        f"balancing algorithm {kind.__module__}:{kind.__qualname__} uses former names, which the next release drops: "
        f"{', '.join(new)} (docs/writing-an-algorithm.md)"
    )


class FormerHooks(Balancer):
    """`inner`, whose class defines the former `names`, with the hooks of the contract."""

    def __init__(self, inner: Balancer, names: Sequence[str]) -> None:
        self.inner = inner
        self.in_parts = not {"roster", "census", "rebuild"}.isdisjoint(names)
        # by the class: a field may have the name of a hook that was not one when the algorithm was written
        self.inner_assigned = method(inner, "took" if "took" in names else "assigned")
        self.inner_released = method(inner, "dropped" if "dropped" in names else "released")
        self.inner_candidates = method(inner, "reach" if "reach" in names else "candidates")

    @property
    def needs_key(self) -> bool:  # type: ignore[override]
        return self.inner.needs_key

    @property
    def needs_location(self) -> bool:  # type: ignore[override]
        return self.inner.needs_location

    @property
    def wants_reports(self) -> bool:  # type: ignore[override]
        return self.inner.wants_reports

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        inner = self.inner
        inner.prober, inner.scope = self.prober, self.scope
        if self.in_parts:
            inner.roster(listed)
            inner.census(in_rotation)
            inner.rebuild(usable)
        else:
            type(inner).members(inner, listed, in_rotation, usable)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.inner.pick(key)

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        found: Sequence[Sequence[Backend]] | None = self.inner_candidates(key)
        return found

    def assigned(self, backend: Backend) -> None:
        self.inner_assigned(backend)

    def released(self, backend: Backend, done: Done) -> None:
        self.inner_released(backend, done)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.inner.reported(backend, report, now)

    def tick(self, now: float) -> None:
        self.inner.tick(now)

    def explain(self) -> dict[str, Any]:
        return self.inner.explain()


def method(balancer: Balancer, name: str) -> MethodType:
    """A method as the class of a balancer has it, whatever fields the instance has."""
    return MethodType(getattr(type(balancer), name), balancer)
