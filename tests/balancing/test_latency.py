"""Peak-EWMA: up at once, down slowly. (Tower's table is in test_tower_table.py, scores in test_scored.py.)"""

from __future__ import annotations

from math import exp

import pytest

from proxy.balancing.base import ANSWERED, Done
from proxy.balancing.latency import Latency

from .members import backends, set_members


def estimates(*answers: tuple[float, float], decay: float = 10.0) -> list[float]:
    """The estimate after each answer: when it came, and what it took."""
    balancer, members = Latency(decay=decay), backends(1, 1)
    set_members(balancer, members)
    found = []
    for now, seconds in answers:
        balancer.released(members[0], Done(seconds, ANSWERED, now))
        found.append(balancer.explain()["backends"]["a"]["seconds"])
    return found


def test_the_first_answer_is_the_estimate() -> None:
    assert estimates((100.0, 0.2)) == [0.2]


def test_it_jumps_to_a_peak_and_comes_down_with_time() -> None:
    found = estimates((100.0, 0.1), (100.1, 2.0), (105.1, 0.1), (115.1, 0.1))
    halved = 2.0 * exp(-0.5) + 0.1 * (1 - exp(-0.5))
    assert found == pytest.approx([0.1, 2.0, halved, halved * exp(-1) + 0.1 * (1 - exp(-1))])


def test_many_answers_in_a_moment_do_not_bring_it_down() -> None:
    answers = [(100.0, 1.0)] + [(100.0 + n / 1000, 0.01) for n in range(1, 101)]
    assert estimates(*answers)[-1] == pytest.approx(1.0, rel=0.02)


def test_decay_says_how_fast() -> None:
    slow, fast = (estimates((100.0, 1.0), (101.0, 0.1), decay=decay)[-1] for decay in (10.0, 1.0))
    assert slow == pytest.approx(1 - 0.9 * (1 - exp(-0.1)))
    assert fast == pytest.approx(1 - 0.9 * (1 - exp(-1)))


def test_an_answer_in_no_time_is_known_all_the_same() -> None:
    assert estimates((100.0, 0.0)) == [pytest.approx(1e-6)]
