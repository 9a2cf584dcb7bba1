"""Least connections: always one of the least loaded, by weight; turns among equals; other workers; failures."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.balancing.base import FAILED, Done
from proxy.balancing.least_connections import LeastConnections
from proxy.balancing.standalone import StandalonePicker, StandaloneRequest
from proxy.scoreboard import IN_FLIGHT, ROW
from proxy.upstream.backend import Backend

from .members import backends, set_members, shared_backends
from .sinkhole import sinkhole


def loads(members: list[Backend]) -> list[float]:
    return [backend.load() / backend.weight for backend in members if backend.weight]


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.integers(0, 256), min_size=1, max_size=30).filter(any),
    steps=st.lists(st.integers(-3, 60), min_size=1, max_size=300),
)
def test_nobody_is_less_loaded_than_the_one_that_is_picked(weights: list[int], steps: list[int]) -> None:
    """Whatever comes and goes; a scan says who is the least loaded."""
    members = backends(*weights)
    picker = StandalonePicker(LeastConnections(seed=1), members)
    flying: list[StandaloneRequest] = []
    for step in steps:
        if step >= 0 and flying:
            flying.pop(step % len(flying)).answered(0.01)
        least = min(loads(members))
        request = picker.pick()
        assert request is not None
        assert (request.backend.load() - 1) / request.backend.weight == least
        flying.append(request)


@pytest.mark.long
def test_many_members_and_requests_stay_in_order() -> None:
    dice = Random(5)
    picker = StandalonePicker("least_connections", {f"b{n}:1": dice.randint(1, 256) for n in range(1000)}, seed=1)
    flying = []
    for _ in range(20_000):
        request = picker.pick()
        assert request is not None
        flying.append(request)
        if len(flying) > 3000:
            flying.pop(dice.randrange(len(flying))).answered(0.01)
    balancer = picker.balancer
    assert isinstance(balancer, LeastConnections)
    order = [tuple(balancer.order[2 * spot : 2 * spot + 2]) for spot in range(balancer.size)]
    for spot in range(1, balancer.size):
        assert order[(spot - 1) // 4] <= order[spot]
    assert [balancer.heap[balancer.spots[at]] for at in range(balancer.size)] == list(range(balancer.size))
    assert [order[balancer.spots[at]][0] for at in range(balancer.size)] == loads(balancer.backends)


def test_a_pick_that_came_to_nothing_was_a_turn_all_the_same() -> None:
    """The request went elsewhere, for want of room: whoever has had its turn is not the next one."""
    balancer, members = LeastConnections(seed=1), backends(1, 1, 1)
    set_members(balancer, members)
    picked = [balancer.pick(None) for _ in range(3)]
    assert set(picked) == set(members)
    other = members[0]
    balancer.pick(None)
    other.in_flight += 1
    balancer.assigned(other)
    assert balancer.explain()["backends"][other.name]["load_by_weight"] == 1
    assert {balancer.pick(None), balancer.pick(None)} == set(members[1:])


def test_idle_members_take_turns_by_weight() -> None:
    picker = StandalonePicker("least_connections", {"a:1": 5, "b:1": 1, "c:1": 1}, seed=1)
    order = []
    for _ in range(70):
        request = picker.pick()
        assert request is not None
        request.answered(0.01)
        order.append(request.backend.name[0])
    assert Counter(order) == {"a": 50, "b": 10, "c": 10}
    assert "bb" not in "".join(order)


def test_who_comes_new_is_not_owed_the_past() -> None:
    picker = StandalonePicker("least_connections", ["a:1", "b:1"], seed=1)
    for _ in range(100):
        request = picker.pick()
        assert request is not None
        request.answered(0.01)
    picker.set_backends(["a:1", "b:1", "c:1"])
    picked = []
    for _ in range(30):
        request = picker.pick()
        assert request is not None
        request.answered(0.01)
        picked.append(request.backend.name)
    assert Counter(picked) == {"a:1": 10, "b:1": 10, "c:1": 10}


def test_requests_of_other_workers_count() -> None:
    members = shared_backends(3)
    balancer = LeastConnections(seed=1)
    set_members(balancer, members)
    other = 2 * ROW + IN_FLIGHT
    members[0].rows[other], members[1].rows[other] = 4, 5
    for _ in range(4):  # at once: the winner is looked at when it is picked
        picked = balancer.pick(None)
        assert picked is members[2]
        picked.in_flight += 1
        balancer.assigned(picked)
    members[1].rows[other] = 0
    balancer.tick(1.0)  # that others are less busy is seen with the next tick
    assert balancer.pick(None) is members[1]


def test_a_rebuild_takes_up_what_is_in_flight() -> None:
    members = backends(1, 1, 1)
    members[0].in_flight, members[2].in_flight = 2, 1
    balancer = LeastConnections(seed=1)
    set_members(balancer, members)
    assert balancer.pick(None) is members[1]
    set_members(balancer, members[::2])
    assert balancer.pick(None) is members[2]


def test_one_that_has_left_does_not_disturb() -> None:
    balancer, members = LeastConnections(seed=1), backends(1, 1)
    set_members(balancer, members)
    gone = members.pop(0)
    gone.in_flight = 3
    balancer.assigned(gone)
    set_members(balancer, members)
    balancer.released(gone, Done(0.1, FAILED))
    assert balancer.pick(None) is members[0]


def test_two_of_them_may_know_the_same_backend() -> None:
    """After a reload the old one is still told how its requests end."""
    old, new, members = LeastConnections(seed=1), LeastConnections(seed=1), backends(1, 1, 1)
    set_members(old, members)
    set_members(new, members[1:])
    for backend in members:
        old.released(backend, Done(0.1))
    assert new.pick(None) in members[1:]


@pytest.mark.long
@pytest.mark.parametrize("algorithm", ["least_connections", "latency", "least_time"])
def test_one_that_fails_at_once_is_not_the_idlest(algorithm: str) -> None:
    """Round robin gives three of a hundred 3 %. (The marks are far from what was measured: 0.04 % and 20 % to 70 %.)"""
    assert sinkhole(algorithm, 20.0) <= 0.001
    assert sinkhole(algorithm, 0.0) >= 0.1


def test_what_is_held_against_it_fades() -> None:
    balancer, members = LeastConnections(seed=1), backends(1, 1)
    set_members(balancer, members)
    for _ in range(20):
        balancer.released(members[0], Done(0.001, FAILED))
    balancer.tick(1.0)
    assert balancer.explain()["backends"]["a"]["failing"] > 0.85
    members[1].in_flight = 5
    balancer.assigned(members[1])
    assert balancer.pick(None) is members[1]
    balancer.tick(61.0)
    assert balancer.explain()["backends"]["a"]["failing"] < 0.01
    assert balancer.pick(None) is members[0]


def test_a_failure_of_long_ago_is_forgiven() -> None:
    """Among idle members the least that is left of it would decide, and it would never be asked again."""
    balancer, members = LeastConnections(seed=1), backends(1, 1, 1)
    set_members(balancer, members)
    balancer.released(members[0], Done(0.001, FAILED))
    balancer.tick(1.0)
    assert {balancer.pick(None) for _ in range(4)} == set(members[1:])
    balancer.tick(61.0)
    assert {balancer.pick(None) for _ in range(6)} == set(members)


def test_a_penalty_below_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="failure_penalty: must be at least 0, not -1"):
        LeastConnections(failure_penalty=-1)
