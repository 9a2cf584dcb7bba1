"""Members in parts: who hears of what, what stays, and how requests are shared out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import pytest

from proxy.balancing import Balancer, Done
from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.wrappers.partition import Part, Partition, Split
from proxy.balancing.wrappers.priorities import Priorities
from proxy.balancing.wrappers.zones import ZoneAware
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport
from tests.balancing.algorithms import LastByKey

from ..members import backends, placed, set_members, settle


class Ledger(Balancer):
    """Keeps what it is told, and gives members in turn."""

    name = "ledger"
    wants_reports = True

    def __init__(self) -> None:
        self.open: Counter[str] = Counter()
        self.reports: list[str] = []
        self.ticks = 0
        self.listed: Sequence[Backend] = ()
        self.usable: Sequence[Backend] = ()
        self.all: Sequence[Backend] = ()
        self.turn = 0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.listed, self.all, self.usable = listed, in_rotation, usable

    def pick(self, key: bytes | None) -> Backend | None:
        self.turn += 1
        return self.usable[self.turn % len(self.usable)]

    def assigned(self, backend: Backend) -> None:
        self.open[backend.name] += 1

    def released(self, backend: Backend, done: Done) -> None:
        self.open[backend.name] -= 1

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.reports.append(backend.name)

    def tick(self, now: float) -> None:
        self.ticks += 1

    def explain(self) -> dict[str, Any]:
        return {"backends": {each.name: self.open[each.name] for each in self.usable}, "picks": [self.turn]}


class Halves(Partition):
    """The first and the rest, in the shares that it is told."""

    name = "halves"

    def __init__(self, *shares: float, seed: int | None = 5) -> None:
        super().__init__(Ledger, seed)
        self.wanted = shares

    def divide(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> list[Part]:
        return [Part(n, [each], share) for n, (each, share) in enumerate(zip(usable, self.wanted, strict=False))]

    def label_of(self, backend: Backend) -> Hashable:
        return next((part.label for part in self.parts if backend in part.members), None)


def test_requests_are_shared_out_by_chance() -> None:
    halves = Halves(0.2, 0.5, 0.3)
    members = backends(1, 1, 1)
    set_members(halves, members)
    counts = Counter(halves.pick(None) for _ in range(10_000))
    assert [counts[each] / 10_000 for each in members] == pytest.approx([0.2, 0.5, 0.3], abs=0.015)


def test_a_key_stays_and_keys_are_shared_out_too() -> None:
    halves = Halves(0.2, 0.5, 0.3)
    members = backends(1, 1, 1)
    set_members(halves, members)
    keys = [b"%d" % n for n in range(10_000)]
    first = [halves.pick(key) for key in keys]
    assert first == [halves.pick(key) for key in keys]
    assert [first.count(each) / 10_000 for each in members] == pytest.approx([0.2, 0.5, 0.3], abs=0.02)


def test_only_keys_at_the_border_move_when_shares_change() -> None:
    before, after = Halves(0.5, 0.5), Halves(0.6, 0.4)
    members = backends(1, 1)
    set_members(before, members)
    set_members(after, members)
    keys = [b"%d" % n for n in range(10_000)]
    moved = [key for key in keys if before.pick(key) is not after.pick(key)]
    assert len(moved) / 10_000 == pytest.approx(0.1, abs=0.01)


def test_parts_inside_of_parts_share_keys_out_evenly() -> None:
    """With one hash for both, the keys of one level would all fall into the same parts of it."""
    levels = Priorities(lambda: Halves(0.5, 0.5))
    members = backends(1, 1) + placed("later", 2, priority=1)
    ill = placed("ill", 2, 2)
    settle(levels, members + ill)  # the first level is able to serve 70 %
    keys = [b"%d" % n for n in range(10_000)]
    first = [picked for key in keys if (picked := levels.pick(key)) in members[:2]]
    assert len(first) / 10_000 == pytest.approx(0.7, abs=0.02)
    assert first.count(members[0]) / len(first) == pytest.approx(0.5, abs=0.03)


def test_a_part_that_gets_everything_is_asked_at_once_and_one_of_none_never() -> None:
    halves = Halves(0.0, 1.0)
    members = backends(1, 1)
    set_members(halves, members)
    assert halves.split.only is halves.children[1]
    assert {halves.pick(None) for _ in range(100)} == {members[1]}


def test_what_is_told_of_a_backend_goes_to_its_part() -> None:
    halves = Halves(0.5, 0.5)
    a, b = members = backends(1, 1)
    set_members(halves, members)
    halves.assigned(a)
    halves.assigned(b)
    halves.released(b, Done(0.1))
    halves.reported(b, LoadReport(), 1.0)
    halves.tick(1.0)
    first, second = halves.children[0], halves.children[1]
    assert isinstance(first, Ledger)
    assert isinstance(second, Ledger)
    assert (first.open["a"], second.open["b"], second.reports, first.ticks) == (1, 0, ["b"], 1)
    halves.released(Backend(a.spec), Done(0.1))  # of somebody who has left long ago: no matter


def test_a_part_that_stays_keeps_its_algorithm_and_one_that_is_ill_is_still_heard_of() -> None:
    levels = Priorities(Ledger)
    a, b = members = backends(1, 1)
    settle(levels, members)
    child = levels.children[0]
    assert isinstance(child, Ledger)
    levels.assigned(a)
    a.healthy = False
    settle(levels, members)
    assert levels.children[0] is child
    assert list(child.all) == members
    assert list(child.usable) == [b]
    levels.released(a, Done(0.1))
    assert child.open["a"] == 0


def test_what_it_needs_is_what_the_algorithm_inside_needs() -> None:
    assert Priorities(LastByKey).needs_key
    assert not Priorities(PowerOfTwo).needs_key
    assert Priorities(Ledger).wants_reports
    assert Priorities(lambda: ZoneAware(Ledger, "a")).wants_reports
    assert not Priorities(PowerOfTwo).needs_location


def test_everyone_is_within_reach_that_a_part_has() -> None:
    levels = Priorities(PowerOfTwo)
    members = backends(1, 1) + placed("later", 1, priority=1)
    settle(levels, members)
    assert levels.candidates(None) == [members[:2], members[2:]]  # to a later level, if the first is used up


def test_what_is_best_in_each_part_comes_first_and_levels_go_by_themselves() -> None:
    class Ranks(Ledger):
        def candidates(self, key: bytes | None) -> list[list[Backend]]:
            return [[backend] for backend in self.usable]

    a, b, c = members = backends(1, 1) + placed("c", 1, priority=1)
    halves = Halves(0.5, 0.5)
    settle(halves, [a, b])
    assert halves.candidates(None) == [[a, b]]
    levels = Priorities(Ranks)
    settle(levels, members)
    assert levels.candidates(None) == [[a], [b], [c]]
    a.spec, b.spec = a.spec._replace(zone="a"), b.spec._replace(zone="b")
    zones = ZoneAware(Ranks, "a", min_backends=2)
    settle(zones, [a, b])
    assert zones.candidates(None) == [[a, b]]


def test_each_part_is_told_who_is_in_it_of_all_that_there_are() -> None:
    a, b, c = members = backends(1, 1) + placed("c", 1, priority=1)
    levels = Priorities(Ledger)
    set_members(levels, [a, c], [a, c], members)
    first, second = (levels.children[n] for n in (0, 1))
    assert isinstance(first, Ledger)
    assert isinstance(second, Ledger)
    assert (first.listed, list(first.all), second.listed) == ([a, b], [a], [c])


def test_a_request_of_one_that_has_left_is_over_for_its_part_too() -> None:
    a, b = members = backends(1, 1)
    levels = Priorities(Ledger)
    settle(levels, members)
    levels.assigned(b)
    b.in_flight = 1
    settle(levels, [a])
    settle(levels, [a])
    levels.released(b, Done(0.1))
    child = levels.children[0]
    assert isinstance(child, Ledger)
    assert child.open["b"] == 0
    b.in_flight = 0
    settle(levels, [a])
    assert set(levels.owner) == {a}


def test_it_explains_its_parts() -> None:
    halves = Halves(0.25, 0.75)
    set_members(halves, backends(1, 1))
    told = halves.explain()
    assert told["divided_by"] == "halves"
    assert [(part["part"], part["share"], part["members"]) for part in told["parts"]] == [(0, 0.25, 1), (1, 0.75, 1)]
    assert told["backends"] == {"a": 0, "b": 0}
    assert told["picks"] == [0, 0]


def test_a_draw_leaves_out_who_has_no_share() -> None:
    split, children = Split(), {label: Ledger() for label in "abcd"}
    split.share_out({"a": 0.25, "b": 0.0, "c": 0.5, "d": 0.25}, children)
    found = [split.at(place) for place in (0.0, 0.24, 0.25, 0.74, 0.75, 0.99, 1.0)]
    assert found == [children[label] for label in "aaccddd"]
    split.share_out({}, children)
    assert (split.children, split.only) == ([], None)
