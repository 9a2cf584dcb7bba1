"""Partitions: the members of an upstream in parts, each part with an algorithm of its own.

Law of this file: a part decides nothing about single backends, and the algorithms inside know nothing of parts: so
priorities, zones and subsets work with every algorithm, by composition. A part that stays keeps its algorithm. Requests
are shared out over the parts by chance, those with a key by its hash, so that the same key goes to the same part.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import accumulate, chain, zip_longest
from typing import Any, NamedTuple

import mmh3

from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport
from ..base import Balancer, Done
from ..structures.sampling import dice

Make = Callable[[], Balancer]


class Part(NamedTuple):
    """Some members, and the share of requests that they get; a share of 0 keeps them warm and gives them none."""

    label: Hashable
    members: Sequence[Backend]
    share: float


class Split:
    """A weighted choice among algorithms."""

    def __init__(self) -> None:
        self.children: list[Balancer] = []
        self.bounds: list[float] = []
        """The cumulative shares."""
        self.only: Balancer | None = None
        """The one with a share of 1, if there is one."""

    def share_out(self, shares: Mapping[Any, float], children: Mapping[Any, Balancer]) -> None:
        """Set the shares, by label. They add up to 1."""
        used = {label: share for label, share in shares.items() if share > 0}
        self.children = [children[label] for label in used]
        self.bounds = list(accumulate(used.values()))
        self.only = self.children[0] if len(used) == 1 else None

    def at(self, place: float) -> Balancer:
        """The algorithm whose share a place from 0 to 1 is in. There has to be one."""
        at = 0
        last = len(self.bounds) - 1
        while at < last and place >= self.bounds[at]:
            at += 1
        return self.children[at]


class Partition(Balancer):
    """Divides its members into the parts that `divide` of a subclass makes."""

    salt = 0x51
    """Seed of the hash that shares keys out. Each subclass has another: a partition inside of a partition would else
    get only keys of one part, and the algorithm inside only a slice of its ring."""

    def __init__(self, make: Make, seed: int | None = None) -> None:
        self.make = make
        self.model = make()
        """One that is never used: its needs are those of each part's algorithm."""
        self.located = self.model.needs_location
        self.dice = dice(seed)
        self.seed = self.salt
        self.parts: list[Part] = []
        self.children: dict[Hashable, Balancer] = {}
        self.owner: dict[Backend, Balancer] = {}
        """The algorithm that gets the events of a backend's requests."""
        self.split = Split()

    @property
    def needs_key(self) -> bool:  # type: ignore[override]
        return self.model.needs_key

    @property
    def needs_location(self) -> bool:  # type: ignore[override]
        return self.model.needs_location

    @property
    def wants_reports(self) -> bool:  # type: ignore[override]
        return self.model.wants_reports

    def divide(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> list[Part]:
        """The parts of the usable members; those without members are left out. The shares add up to 1."""
        raise NotImplementedError

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.parts = self.divide(in_rotation, usable)
        old, owner = self.children, self.owner
        self.children = {part.label: old.get(part.label) or self.make() for part in self.parts}
        self.owner = {}
        all_listed, all_in_rotation = self.by_label(listed), self.by_label(in_rotation)
        for part in self.parts:
            child = self.children[part.label]
            child.prober, child.scope = self.prober, self.scope
            rotating = self.extent(part, all_in_rotation.get(part.label, ()))
            type(child).members(child, self.extent(part, all_listed.get(part.label, ())), rotating, part.members)
            self.owner.update(dict.fromkeys((*rotating, *part.members), child))
        stay = set(self.children.values())
        for backend, child in owner.items():  # one that has left may have requests that are not over
            if backend not in self.owner and child in stay and backend.load() > 0:
                self.owner[backend] = child
        self.split.share_out({part.label: part.share for part in self.parts}, self.children)

    def by_label(self, backends: Sequence[Backend]) -> dict[Hashable, list[Backend]]:
        """The members of each part."""
        found: dict[Hashable, list[Backend]] = {}
        for backend in backends:
            found.setdefault(self.label_of(backend), []).append(backend)
        return found

    def label_of(self, backend: Backend) -> Hashable:
        """The label of the part of a backend."""
        raise NotImplementedError

    def extent(self, part: Part, labelled: Sequence[Backend]) -> Sequence[Backend]:
        """The members of a part, usable or not, from those with its label."""
        return labelled

    def pick(self, key: bytes | None) -> Backend | None:
        split = self.split
        child = split.only
        if child is not None:
            return child.pick(key)
        if not split.children:
            return None
        own = key
        if key is not None and self.located:
            own = behind_location(key)
        child = split.at(self.place_of(own))
        return child.pick(key)

    def place_of(self, key: bytes | None) -> float:
        """A place from 0 to 1: by chance without a key, by its hash with one."""
        if key is None:
            return self.dice()
        return mmh3.hash(key, self.seed, False) / 4294967296.0

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        inside = [(part.members, self.children[part.label].candidates(key)) for part in self.parts]
        return self.ranked([[members] if groups is None else groups for members, groups in inside])

    def ranked(self, parts: Sequence[Sequence[Sequence[Backend]]]) -> Sequence[Sequence[Backend]]:
        """The candidates of all parts in one order: the first groups of all parts, then the second ones. Subclasses
        whose parts have an order override it."""
        return [list(chain(*rank)) for rank in zip_longest(*parts, fillvalue=())]

    def assigned(self, backend: Backend) -> None:
        child = self.owner.get(backend)
        if child is not None:
            child.assigned(backend)

    def released(self, backend: Backend, done: Done) -> None:
        child = self.owner.get(backend)
        if child is not None:
            child.released(backend, done)

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
                {"part": part.label, "share": round(part.share, 4), "members": len(part.members), "algorithm": each}
                for part, each in zip(self.parts, inside, strict=True)
            ],
            "backends": merged(each.get("backends", {}) for each in inside),
            "picks": [pick for each in inside for pick in each.get("picks", [])],
        }


def behind_location(key: bytes) -> bytes | None:
    """The rest of a key that begins with a location; None if there is none."""
    at = key.find(b"\n")
    return key[at + 1 :] if at >= 0 else None


def merged(tables: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One table of several with different keys."""
    found: dict[str, Any] = {}
    for table in tables:
        found.update(table)
    return found
