"""What is learned of one backend: its capacity from the stretch of responses, its pace from what requests cost."""

from __future__ import annotations

from random import Random

import pytest

from proxy.balancing.ai_learned import Fleet, Learned
from proxy.upstream.backend import Backend, BackendSpec


def learned(capacity: float) -> Learned:
    return Learned(Backend(BackendSpec("127.0.0.1:9001", "127.0.0.1", 9001, "")), capacity)


def answers(state: Learned, fleet: Fleet, count: int, beside: float, stretch: float) -> None:
    """So many responses, a tenth of a second apart."""
    for number in range(count):
        state.completed(0.01 * stretch, 0.01, beside, beside, state.when + 0.1 if number else 1.0, fleet)


@pytest.mark.parametrize("believed", [0.5, 8.0])
def test_requests_in_each_others_way_tell_the_capacity(believed: float) -> None:
    state, fleet = learned(believed), Fleet()
    fleet.cost = 0.01
    answers(state, fleet, 30, beside=6.0, stretch=3.0)
    assert state.capacity == pytest.approx(2.0, rel=0.1)


def test_a_backend_that_is_never_full_is_not_believed_to_be_better_than_the_others() -> None:
    state, fleet = learned(3.0), Fleet()
    fleet.cost = 0.01
    answers(state, fleet, 200, beside=1.0, stretch=1.0)
    assert state.capacity == pytest.approx(fleet.capacity)


def test_a_backend_that_was_slow_once_and_is_not_full_is_as_good_as_the_others_again() -> None:
    state, fleet = learned(0.5), Fleet()
    fleet.cost = 0.01
    answers(state, fleet, 200, beside=1.0, stretch=1.0)
    assert state.capacity == pytest.approx(fleet.capacity, abs=0.4)


def test_costs_that_differ_by_chance_are_no_reason_to_prefer_a_backend() -> None:
    dice, fleet = Random(7), Fleet()
    fleet.cost = 1.0
    states = [learned(3.0) for _ in range(50)]
    for _ in range(300):
        for state in states:
            state.completed(1.0, dice.expovariate(1.0) + 1e-6, 1.0, 1.0, state.when + 0.1, fleet)
    alike = sum(state.pace == 1.0 for state in states)
    assert alike >= 42  # two standard errors: 95 % of 50 are expected, and never fewer than this with this seed


def test_a_backend_at_half_the_speed_has_half_the_pace() -> None:
    fleet = Fleet()
    fleet.cost = 1.0
    fast, slow = learned(3.0), learned(3.0)
    for _ in range(1000):
        fast.completed(1.0, 2 / 3, 1.0, 1.0, fast.when + 0.1, fleet)
        slow.completed(1.0, 4 / 3, 1.0, 1.0, slow.when + 0.1, fleet)
    assert slow.pace / fast.pace > 1.7


def latencies(often: bool, *seconds: float) -> list[float]:
    """What is believed of a backend's latency after each of these responses, where the mean of all is 10 ms."""
    state, fleet = learned(3.0), Fleet()
    fleet.latency, fleet.often = 0.01, often
    found = []
    for each in seconds:
        state.when += 0.1
        state.answered(each, state.when, fleet)
        found.append(state.latency)
    return found


def test_one_long_response_of_a_few_says_little_of_its_backend() -> None:
    usual, *_, after = latencies(False, *[0.01] * 8, 0.2)
    assert usual == pytest.approx(1.0)
    assert after == pytest.approx((1.0 + (20**0.5 - 1.0) / 8) ** 2)


def test_where_responses_are_frequent_the_longest_counts() -> None:
    """With two kinds of requests it is soon the same for all backends, and the requests in flight decide."""
    *_, after = latencies(True, *[0.01] * 8, 0.2)
    assert after == pytest.approx(20.0)
