"""First: one member after the other, in the order of the configuration."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from proxy.balancing.base import Done
from proxy.balancing.first import First
from proxy.balancing.standalone import StandalonePicker, StandaloneRequest
from proxy.scoreboard import IN_FLIGHT, ROW

from .members import backends, set_members, shared_backends


def picked(picker: StandalonePicker, count: int) -> list[StandaloneRequest]:
    found = [picker.pick() for _ in range(count)]
    return [request for request in found if request is not None]


def names(requests: list[StandaloneRequest]) -> str:
    return "".join(request.backend.name[0] for request in requests)


def test_one_after_the_other_is_filled() -> None:
    picker = StandalonePicker("first", ["a:1", "b:1", "c:1"], max_in_flight=2)
    requests = picked(picker, 6)
    assert names(requests) == "aabbcc"
    requests[1].answered(0.1)
    requests[2].answered(0.1)
    assert names(picked(picker, 2)) == "ab"


def test_beyond_all_limits_the_less_full_one() -> None:
    picker = StandalonePicker("first", ["a:1", "b:1"], max_in_flight=2, seed=1)
    counts = Counter(names(picked(picker, 4 + 40)))
    assert counts["a"] + counts["b"] == 44
    assert abs(counts["a"] - counts["b"]) <= 2


def test_limits_are_in_proportion_to_weights() -> None:
    picker = StandalonePicker("first", {"a:1": 1, "b:1": 0, "c:1": 4, "d:1": 3}, max_in_flight=4)
    assert names(picked(picker, 8)) == "accccddd"


@pytest.mark.parametrize("scale", [1, 10])
def test_a_limit_is_the_same_when_the_heaviest_is_ill_or_starting(scale: int) -> None:
    """What one of weight 1 can take does not grow with that."""
    a, b = members = backends(4, 1)
    balancer = First(max_in_flight=100)
    set_members(balancer, members)
    assert list(balancer.limits) == [100, 25]
    set_members(balancer, [b], members)
    assert list(balancer.limits) == [25]
    a.weight, b.weight = 2 * scale, scale
    a.scale = b.scale = scale
    set_members(balancer, members)
    assert list(balancer.limits) == [50, 25]


def test_with_little_to_do_the_last_ones_fall_idle() -> None:
    """Ten requests at a time and three to a backend: four are used, six could go."""
    picker, dice = StandalonePicker("first", [f"b{n}:1" for n in range(10)], max_in_flight=3), Random(1)
    flying = picked(picker, 10)
    for _ in range(2000):
        flying.pop(dice.randrange(10)).answered(0.1)
        flying += picked(picker, 1)
    assert [backend.requests > 0 for backend in picker.backends.values()] == [True] * 4 + [False] * 6


def test_the_order_is_found_whatever_comes_and_goes() -> None:
    picker, dice = StandalonePicker("first", [f"b{n}:1" for n in range(50)], max_in_flight=2), Random(2)
    members = list(picker.backends.values())
    flying: list[StandaloneRequest] = []
    for _ in range(5000):
        if flying and dice.random() < 0.52:
            flying.pop(dice.randrange(len(flying))).answered(0.1)
            continue
        wanted = next((backend for backend in members if backend.in_flight < 2), None)
        (request,) = picked(picker, 1)
        assert wanted is None or request.backend is wanted
        flying.append(request)


def test_room_that_other_workers_make_and_take() -> None:
    members = shared_backends(2)
    balancer = First(max_in_flight=2)
    set_members(balancer, members)
    other = 2 * ROW + IN_FLIGHT
    members[0].rows[other] = 2
    assert balancer.pick(None) is members[1]
    members[0].rows[other] = 0
    balancer.tick(1.0)
    assert balancer.pick(None) is members[0]


def test_one_that_has_left_does_not_disturb() -> None:
    balancer, members = First(), backends(1, 1)
    set_members(balancer, members[:1])
    balancer.released(members[1], Done(0.1))
    assert balancer.pick(None) is members[0]


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="max_in_flight: must be at least 1, not 0"):
        First(max_in_flight=0)
