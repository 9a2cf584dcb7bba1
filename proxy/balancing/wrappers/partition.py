"""What stands between an upstream and its algorithm: members in parts, each part with an algorithm of its own.

Law of this file: a part decides nothing about single backends, and the algorithms inside know nothing of parts: so
priorities, zones and whatever else divides members work with every algorithm, by composition. A part that stays keeps
its algorithm. Requests are shared out over the parts by chance, those with a key by their key, so that a key stays.
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


class Draw:
    """Algorithms that share requests, and who gets which."""

    def __init__(self) -> None:
        self.children: list[Balancer] = []
        self.bounds: list[float] = []
        """The sums of shares up to each of them."""
        self.only: Balancer | None = None
        """The one that gets everything, if one does."""

    def share_out(self, shares: Mapping[Any, float], children: Mapping[Any, Balancer]) -> None:
        """By labels, what each gets from now on. The shares add up to 1."""
        used = {label: share for label, share in shares.items() if share > 0}
        self.children = [children[label] for label in used]
        self.bounds = list(accumulate(used.values()))
        self.only = self.children[0] if len(used) == 1 else None

    def at(self, place: float) -> Balancer:
        """Whose share a place from 0 to 1 is in. There has to be one."""
        at = 0
        last = len(self.bounds) - 1
        while at < last and place >= self.bounds[at]:
            at += 1
        return self.children[at]


class Parts(Balancer):
    """Divides its members. Subclasses say how, in `divide`."""

    salt = 0x51
    """Of the hash that shares keys out. Each subclass has another: parts inside of parts would else get only those keys
    that share a part already, and the algorithm inside only a slice of its ring."""

    def __init__(self, make: Make, seed: int | None = None) -> None:
        self.make = make
        self.model = make()
        """What each part has one of."""
        self.located = self.model.needs_location
        self.dice = dice(seed)
        self.seed = self.salt
        self.enrolled: Sequence[Backend] = ()
        """All members, drained ones too."""
        self.everyone: Sequence[Backend] = ()
        """All members in rotation, healthy or not."""
        self.parts: list[Part] = []
        self.children: dict[Hashable, Balancer] = {}
        self.owner: dict[Backend, Balancer] = {}
        """The algorithm that hears of a backend's requests."""
        self.draw = Draw()

    @property
    def needs_key(self) -> bool:  # type: ignore[override]
        return self.model.needs_key

    @property
    def needs_location(self) -> bool:  # type: ignore[override]
        return self.model.needs_location

    @property
    def wants_reports(self) -> bool:  # type: ignore[override]
        return self.model.wants_reports

    def divide(self, members: Sequence[Backend]) -> list[Part]:
        """The parts of the usable members; those without members are left out. The shares add up to 1."""
        raise NotImplementedError

    def roster(self, members: Sequence[Backend]) -> None:
        self.enrolled = members

    def census(self, members: Sequence[Backend]) -> None:
        self.everyone = members

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.parts = self.divide(members)
        old, owner = self.children, self.owner
        self.children = {part.label: old.get(part.label) or self.make() for part in self.parts}
        self.owner = {}
        enrolled, everyone = self.by_label(self.enrolled), self.by_label(self.everyone)
        for part in self.parts:
            child, known = self.children[part.label], self.all_of(part, everyone.get(part.label, ()))
            child.prober, child.scope = self.prober, self.scope
            child.roster(self.all_of(part, enrolled.get(part.label, ())))
            child.census(known)
            child.rebuild(part.members)
            self.owner.update(dict.fromkeys(known, child))
            self.owner.update(dict.fromkeys(part.members, child))
        stay = set(self.children.values())
        for backend, child in owner.items():  # who has left may have requests that are not over
            if backend not in self.owner and child in stay and backend.load() > 0:
                self.owner[backend] = child
        self.draw.share_out({part.label: part.share for part in self.parts}, self.children)

    def by_label(self, backends: Sequence[Backend]) -> dict[Hashable, list[Backend]]:
        """Those of each part."""
        found: dict[Hashable, list[Backend]] = {}
        for backend in backends:
            found.setdefault(self.label_of(backend), []).append(backend)
        return found

    def label_of(self, backend: Backend) -> Hashable:
        """To which part a backend belongs."""
        raise NotImplementedError

    def all_of(self, part: Part, belonging: Sequence[Backend]) -> Sequence[Backend]:
        """What a part is told of as its members, usable or not, of those that belong to it; if there are none, nobody
        has said more than who is usable."""
        return belonging or part.members

    def pick(self, key: bytes | None) -> Backend | None:
        draw = self.draw
        child = draw.only
        if child is not None:
            return child.pick(key)
        if not draw.children:
            return None
        own = key
        if key is not None and self.located:
            own = behind_location(key)
        child = draw.at(self.place_of(own))
        return child.pick(key)

    def place_of(self, key: bytes | None) -> float:
        """A place from 0 to 1 in a draw: by chance, the same one for the same key."""
        if key is None:
            return self.dice()
        return mmh3.hash(key, self.seed, False) / 4294967296.0

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        inside = [(part.members, self.children[part.label].reach(key)) for part in self.parts]
        return self.ranked([[members] if reach is None else reach for members, reach in inside])

    def ranked(self, parts: Sequence[Sequence[Sequence[Backend]]]) -> Sequence[Sequence[Backend]]:
        """Whom a request may go to, from what each part says of that: the best of all parts first. Subclasses of which
        the parts have an order of their own say so."""
        return [list(chain(*rank)) for rank in zip_longest(*parts, fillvalue=())]

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
                {"part": part.label, "share": round(part.share, 4), "members": len(part.members), "algorithm": each}
                for part, each in zip(self.parts, inside, strict=True)
            ],
            "backends": merged(each.get("backends", {}) for each in inside),
            "picks": [pick for each in inside for pick in each.get("picks", [])],
        }


def behind_location(key: bytes) -> bytes | None:
    """What is left of a key that begins with a location; None if it is only that."""
    at = key.find(b"\n")
    return key[at + 1 :] if at >= 0 else None


def merged(tables: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """One table of several with different keys."""
    found: dict[str, Any] = {}
    for table in tables:
        found.update(table)
    return found
