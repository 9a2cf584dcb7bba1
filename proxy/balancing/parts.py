"""What stands between an upstream and its algorithm: members in parts, each part with an algorithm of its own.

Law of this file: a part decides nothing about single backends, and the algorithms inside know nothing of parts: so
priorities, zones and whatever else divides members work with every algorithm, by composition. A part that stays keeps
its algorithm. Requests are shared out over the parts by chance, those with a key by their key, so that a key stays.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from random import random
from typing import Any, NamedTuple

import mmh3

from ..upstream.backend import Backend
from ..upstream.load_report import LoadReport
from .base import Balancer, Done

Make = Callable[[], Balancer]

SEED = 0x51
"""The hash that shares keys out must not be the one by which an algorithm inside places them."""


class Part(NamedTuple):
    """Some members, and the share of requests that they get; a share of 0 keeps them warm and gives them none."""

    label: Hashable
    members: Sequence[Backend]
    share: float


class Parts(Balancer):
    """Divides its members. Subclasses say how, in `divide`."""

    def __init__(self, make: Make) -> None:
        self.make = make
        self.everyone: Sequence[Backend] = ()
        """All members in rotation, healthy or not."""
        self.parts: list[Part] = []
        self.children: dict[Hashable, Balancer] = {}
        self.owner: dict[Backend, Balancer] = {}
        self.only: Balancer | None = None
        """The one part that gets everything, if one does."""
        self.bounds: list[float] = []
        self.shared: list[Balancer] = []

    def divide(self, members: Sequence[Backend]) -> list[Part]:
        """The parts of the usable members; those without members are left out. The shares add up to 1."""
        raise NotImplementedError

    def census(self, members: Sequence[Backend]) -> None:
        self.everyone = members

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.parts = self.divide(members)
        old = self.children
        self.children = {part.label: old.get(part.label) or self.make() for part in self.parts}
        self.owner = {}
        for part in self.parts:
            child = self.children[part.label]
            child.prober = self.prober
            child.census(self.all_of(part))
            child.rebuild(part.members)
            self.owner.update(dict.fromkeys(part.members, child))
        self._share_out([part for part in self.parts if part.share > 0])

    def all_of(self, part: Part) -> Sequence[Backend]:
        """All members in rotation that belong to a part, healthy or not."""
        return part.members

    def _share_out(self, parts: Sequence[Part]) -> None:
        self.shared = [self.children[part.label] for part in parts]
        self.only = self.shared[0] if len(parts) == 1 else None
        self.bounds, bound = [], 0.0
        for part in parts:
            bound += part.share
            self.bounds.append(bound)

    def pick(self, key: bytes | None) -> Backend | None:
        child = self.only
        if child is not None:
            return child.pick(key)
        if not self.shared:
            return None
        place = random() if key is None else mmh3.hash(key, SEED, False) / 4294967296.0
        at = 0
        last = len(self.bounds) - 1
        while at < last and place >= self.bounds[at]:
            at += 1
        child = self.shared[at]
        return child.pick(key)

    def took(self, backend: Backend) -> None:
        child = self.owner.get(backend)
        if child is not None:
            child.took(backend)

    def dropped(self, backend: Backend, done: Done) -> None:
        child = self.owner.get(backend)
        if child is not None:
            child.dropped(backend, done)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        child = self.owner.get(backend)
        if child is not None:
            child.reported(backend, report, now)

    def tick(self, now: float) -> None:
        for child in self.children.values():
            child.tick(now)

    def explain(self) -> dict[str, Any]:
        inside = [self.children[part.label].explain() for part in self.parts]
        return {
            "divided_by": self.name,
            "parts": [
                {"part": part.label, "share": part.share, "members": len(part.members), "algorithm": each}
                for part, each in zip(self.parts, inside, strict=True)
            ],
            "backends": merged(each.get("backends", {}) for each in inside),
            "picks": [pick for each in inside for pick in each.get("picks", [])],
        }


def merged(tables: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One table of several with different keys."""
    found: dict[str, Any] = {}
    for table in tables:
        found.update(table)
    return found
