"""Subsets of a group: who is in them, what is used instead, and what stays across reloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from time import monotonic
from typing import Any

import pytest

from proxy.balancing.least_connections import LeastConnections
from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.wrappers.priorities import Priorities
from proxy.deadlines import Sweep
from proxy.metrics import U_BALANCER_FAILED
from proxy.runtime import Registry
from proxy.scoreboard import DOWN, DRAIN, HEALTH, STATE, WEIGHT, alone
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.group import Group
from proxy.upstream.load.report import LoadReport
from proxy.upstream.picker import Selector
from proxy.upstream.spec import GroupSpec, LimitSpec
from tests.balancing.algorithms import FailsIn

CANARY = Selector((("version", "canary"),))
ONLY_CANARY = CANARY._replace(any_else=False)


def spec_of(name: str, version: str, priority: int = 0) -> BackendSpec:
    labels = (("tier", "web"), ("version", version))
    return BackendSpec(f"{name}:1", name, 1, "", priority=priority, labels=labels)


MEMBERS = (spec_of("s1", "stable"), spec_of("s2", "stable"), spec_of("c1", "canary"), spec_of("c2", "canary"))
SPEC = GroupSpec("app", MEMBERS, "rr", slow_start=0.0)


def group_of(*selectors: Selector, spec: GroupSpec = SPEC, balancer: Any = RoundRobin) -> Group:
    registry = Registry(alone(), Sweep())
    subsets = {selector: (balancer(), PowerOfTwo()) for selector in selectors}
    registry.adopt(spec, balancer(), 1024, 10, PowerOfTwo(), subsets)
    return registry.groups["app"]


def picked(group: Group, selector: Selector) -> set[str]:
    picker = group.subset(selector)
    found = {picker.balancer.pick(None) for _ in range(40)}
    return {backend.name[:2] for backend in found if backend is not None}


def down(group: Group, *which: int) -> None:
    for n, backend in enumerate(group.members.all):
        backend.rows[HEALTH] = DOWN if n in which else 0
    group.refresh(monotonic())


def test_only_members_with_the_labels_are_picked() -> None:
    both = Selector((("tier", "web"), ("version", "stable")))
    group = group_of(CANARY, both)
    assert picked(group, CANARY) == {"c1", "c2"}
    assert picked(group, both) == {"s1", "s2"}
    assert {group.balancer.pick(None).name[:2] for _ in range(8)} == {"s1", "s2", "c1", "c2"}


def test_if_none_of_them_is_healthy_any_is_used_or_none() -> None:
    group = group_of(CANARY, ONLY_CANARY, spec=SPEC._replace(panic=0.0))
    down(group, 2)
    assert picked(group, CANARY) == picked(group, ONLY_CANARY) == {"c2"}
    down(group, 2, 3)
    assert picked(group, CANARY) == {"s1", "s2"}
    assert picked(group, ONLY_CANARY) == set()
    down(group)
    assert picked(group, CANARY) == {"c1", "c2"}


def test_a_subset_that_nobody_is_in() -> None:
    nobody = Selector((("version", "none"),))
    group = group_of(nobody, nobody._replace(any_else=False))
    assert picked(group, nobody) == {"s1", "s2", "c1", "c2"}
    assert picked(group, nobody._replace(any_else=False)) == set()


def test_panic_is_its_own() -> None:
    """Of four members one is ill, which is no panic; of the two in the subset one and a half would be."""
    group = group_of(ONLY_CANARY)
    down(group, 2, 3)
    assert not group.panicking
    assert group.subset(ONLY_CANARY).panicking
    assert picked(group, ONLY_CANARY) == {"c1", "c2"}


def test_drained_members_leave_every_subset() -> None:
    group = group_of(CANARY)
    group.members.all[2].rows[STATE] = DRAIN
    group.refresh(monotonic())
    assert picked(group, CANARY) == {"c2"}


def test_retries_stay_inside() -> None:
    group = group_of(ONLY_CANARY)
    picker = group.subset(ONLY_CANARY)
    c1, c2 = group.members.all[2:]
    assert picker.another([c1], None) is c2
    assert picker.another([c1, c2], None) is None
    assert picker.first_of([c2]) is c1
    assert picker.first_of((), None, group.overload) in (c1, c2)


def test_the_algorithm_of_a_subset_lives_on_through_reloads_and_is_told_of_new_members() -> None:
    registry = Registry(alone(), Sweep())
    first, second, third = RoundRobin(), RoundRobin(), RoundRobin()
    registry.adopt(SPEC, RoundRobin(), 1024, 10, PowerOfTwo(), {CANARY: (first, PowerOfTwo())})
    group = registry.groups["app"]
    more = SPEC._replace(backends=(*MEMBERS, spec_of("c3", "canary")))
    registry.adopt(more, RoundRobin(), 1024, 10, PowerOfTwo(), {CANARY: (second, PowerOfTwo())})
    assert group.subset(CANARY).balancer is first
    assert picked(group, CANARY) == {"c1", "c2", "c3"}
    registry.set_members("app", MEMBERS[:3])
    assert picked(group, CANARY) == {"c1"}
    registry.adopt(more._replace(balance="other"), RoundRobin(), 1024, 10, None, {CANARY: (third, PowerOfTwo())})
    assert group.subset(CANARY).balancer is third
    assert picked(group, CANARY) == {"c1", "c2", "c3"}


def test_labels_that_change_in_a_reload_move_a_member() -> None:
    registry = Registry(alone(), Sweep())
    registry.adopt(SPEC, RoundRobin(), 1024, 10, PowerOfTwo(), {CANARY: (RoundRobin(), PowerOfTwo())})
    promoted = SPEC._replace(backends=(spec_of("s1", "canary"), *MEMBERS[1:]))
    registry.adopt(promoted, RoundRobin(), 1024, 10, PowerOfTwo(), {CANARY: (RoundRobin(), PowerOfTwo())})
    assert picked(registry.groups["app"], CANARY) == {"s1", "c1", "c2"}


def test_an_algorithm_that_fails_is_replaced_in_its_subset_alone(caplog: pytest.LogCaptureFixture) -> None:
    group = group_of(CANARY, balancer=lambda: FailsIn("pick"))
    picker = group.subset(CANARY)
    failed = picker.balancer
    assert picker.balancer_failed(failed) is picker.balancer
    assert isinstance(picker.balancer, PowerOfTwo)
    assert isinstance(group.balancer, FailsIn)
    assert picked(group, CANARY) == {"c1", "c2"}
    assert group.rows[U_BALANCER_FAILED] == 1
    assert "upstream app (version=canary): balancing algorithm FailsIn failed, power_of_two takes over" in caplog.text


def test_one_that_fails_now_and_then_is_replaced_too() -> None:
    class Ticks(RoundRobin):
        def tick(self, now: float) -> None:
            raise RuntimeError("no")

    group = group_of(CANARY, balancer=Ticks)
    group.tick(monotonic())
    assert isinstance(group.balancer, PowerOfTwo)
    assert isinstance(group.subset(CANARY).balancer, PowerOfTwo)


# --- priorities and panic --------------------------------------------------------------------------------------


def test_a_dead_first_priority_is_no_panic_while_the_second_is_well() -> None:
    members = tuple(spec_of(f"{name}{n}", "x", priority) for priority, name in enumerate("pq") for n in (1, 2, 3, 4))
    spec = SPEC._replace(backends=members + tuple(spec_of(f"p{n}", "x") for n in range(5, 9)))
    group = group_of(spec=spec, balancer=lambda: Priorities(RoundRobin))
    down(group, *[n for n, backend in enumerate(group.members.all) if backend.name[0] == "p"])
    assert (group.available, len(group.members.all), group.panicking) == (4, 12, False)
    assert {group.balancer.pick(None).name[0] for _ in range(40)} == {"q"}
    down(group, *range(12))
    assert group.panicking
    assert {group.balancer.pick(None).name[0] for _ in range(40)} == {"p"}


def test_the_last_resort_is_not_picked_before_those_of_the_first_priority() -> None:
    group = group_of(spec=SPEC._replace(backends=(spec_of("p1", "x"), spec_of("q1", "x", 1))))
    p1, q1 = group.members.all
    p1.in_flight = 50
    assert group.first_of(()) is p1
    assert group.first_of([p1]) is q1


def test_a_census_that_changes_alone_is_told() -> None:
    """An ill member that is drained is no longer missed: 2 of 2 are well then, not 2 of 4."""
    members = (*(spec_of(f"p{n}", "x") for n in range(4)), spec_of("q1", "x", 1))
    group = group_of(spec=SPEC._replace(backends=members), balancer=lambda: Priorities(RoundRobin))
    down(group, 2, 3)
    assert [round(part.share, 3) for part in group.balancer.parts] == [0.7, 0.3]
    for backend in group.members.all[2:4]:
        backend.rows[STATE] = DRAIN
    group.refresh(monotonic())
    assert [part.share for part in group.balancer.parts] == [1.0, 0.0]


# --- limits, and where a key may go ---------------------------------------------------------------------------------


class Ranked(RoundRobin):
    """Lets a request go to the backends that its key names, in this order; without a key everywhere."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        super().members(listed, in_rotation, usable)
        self.known = {backend.name[:2]: backend for backend in usable}

    def candidates(self, key: bytes | None) -> list[list[Backend]] | None:
        if key is None:
            return None
        return [[self.known[name] for name in rank.split(",")] for rank in key.decode().split(";")]


def ranked_group() -> Group:
    """With one request at each backend, which is its limit."""
    group = group_of(spec=SPEC._replace(limits=LimitSpec(requests_per_backend=1)), balancer=Ranked)
    for backend in group.members.all:
        backend.in_flight = 1
    return group


def test_who_has_room_is_taken_although_a_full_one_comes_first() -> None:
    """By priority, and by load in proportion to weight."""
    members = (spec_of("p1", "x"), spec_of("q1", "x", 1), spec_of("q2", "x", 1))
    group = group_of(spec=SPEC._replace(backends=members, limits=LimitSpec(requests_per_backend=4)))
    p1, q1, q2 = group.members.all
    p1.in_flight, q1.in_flight, q2.in_flight = 4, 4, 3
    q1.weight = 10
    assert group.first_of((), None, group.overload) is q2
    assert group.first_of((q2,), None, group.overload) is None
    assert group.any_of((), None, group.overload)
    assert not group.any_of((q2,), None, group.overload)


def test_a_request_goes_to_the_first_rank_that_has_somebody_for_it() -> None:
    group = ranked_group()
    s1, s2, c1, _ = group.members.all
    c1.in_flight = s2.in_flight = 0
    assert group.first_of((), b"s1,c2;c1;s2", group.overload) is c1
    assert group.first_of((c1,), b"s1,c2;c1;s2", group.overload) is s2
    assert group.first_of((c1,), b"s1,c2;c1", group.overload) is None
    assert group.first_of((), b"s1;c1") is s1
    assert group.first_of((s1,), b"s1;c1") is c1


def test_a_selector_is_told_in_words() -> None:
    assert str(Selector((("tier", "web"), ("version", "canary")))) == "tier=web, version=canary"


def test_only_the_algorithms_whose_members_have_changed_are_told() -> None:
    told: list[str | None] = []

    class Told(RoundRobin):
        def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
            told.append(self.scope)
            super().members(listed, in_rotation, usable)

    group = group_of(CANARY, balancer=Told)
    told.clear()
    down(group, 0)
    assert told == [None]
    down(group, 0, 2)
    assert told == [None, None, "version=canary"]
    group.members.all[3].rows[WEIGHT] = 8
    group.refresh(monotonic())
    assert told[3:] == [None, "version=canary"]
    group.refresh(monotonic())
    assert len(told) == 5


def test_what_the_algorithms_of_subsets_know_is_told_with_the_rest() -> None:
    group = group_of(CANARY, balancer=LeastConnections)
    told = group.explain()
    assert set(told["backends"]) == {backend.name for backend in group.members.all}
    assert set(told["subsets"]["version=canary"]["backends"]) == {"c1:1", "c2:1"}
    assert "subsets" not in group_of().explain()


def test_reports_reach_the_algorithms_of_those_who_have_the_backend() -> None:
    heard: list[tuple[str | None, str]] = []

    class Listens(RoundRobin):
        def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
            heard.append((self.scope, backend.name))

    group = group_of(CANARY, balancer=Listens)
    group.reported(group.members.all[0], LoadReport(), 1.0)
    group.reported(group.members.all[2], LoadReport(), 1.0)
    assert heard == [(None, "s1:1"), (None, "c1:1"), ("version=canary", "c1:1")]


def test_algorithms_with_members_in_common_do_not_take_places_from_each_other() -> None:
    """Each sees what the other has given away at the next tick, as it does with other workers."""
    group = group_of(CANARY, balancer=LeastConnections)
    for balancer in (group.balancer, group.subset(CANARY).balancer):
        counts: Counter[str] = Counter()
        for _ in range(40):
            backend = balancer.pick(None)
            backend.in_flight += 1
            balancer.assigned(backend)
            counts[backend.name[0]] += 1
        assert counts == ({"s": 20, "c": 20} if balancer is group.balancer else {"c": 40})
        assert len({backend.in_flight for backend in group.members.all if backend.name[0] == "c"}) == 1
