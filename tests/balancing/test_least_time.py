"""Least time: the mean of the latest responses. (Tower's table is in test_tower_table.py, scores in test_scored.py.)"""

from __future__ import annotations

from random import Random

import pytest

from proxy.balancing.base import ANSWERED, Done
from proxy.balancing.least_time import LeastTime

from .members import backends, set_members


def estimate(answers: list[float], window: int = 32) -> float:
    balancer, members = LeastTime(window=window), backends(1, 1)
    set_members(balancer, members)
    for n, seconds in enumerate(answers):
        balancer.released(members[0], Done(seconds, ANSWERED, 1.0 + n / 100))
    found: float = balancer.explain()["backends"]["a"]["seconds"]
    return found


def test_at_first_it_is_the_plain_mean() -> None:
    assert estimate([0.1, 0.3, 0.2]) == pytest.approx(0.2)


def test_one_peak_is_one_of_many() -> None:
    assert estimate([0.1] * 50 + [3.3]) == pytest.approx(0.2)


def test_it_follows_within_the_window() -> None:
    assert estimate([0.1] * 100 + [0.5] * 32) == pytest.approx(0.5 - 0.4 * (31 / 32) ** 32)
    assert estimate([0.1] * 100 + [0.5] * 32, window=4) == pytest.approx(0.5, rel=0.01)


def test_it_is_near_the_mean_of_what_is_drawn_by_chance() -> None:
    dice = Random(1)
    found = [estimate([dice.expovariate(10) for _ in range(200)]) for _ in range(100)]
    assert sum(found) / 100 == pytest.approx(0.1, rel=0.05)


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="window: must be at least 1 response, not 0"):
        LeastTime(window=0)
