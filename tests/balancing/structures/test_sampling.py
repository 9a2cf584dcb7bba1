"""Draws in proportion to weights, and repeatable ones."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.balancing.structures.sampling import Urn, dice

from ..members import backends


def test_a_seed_repeats_itself() -> None:
    one, two, other = dice(1), dice(1), dice(2)
    drawn = [one() for _ in range(5)]
    assert drawn == [two() for _ in range(5)]
    assert drawn != [other() for _ in range(5)]


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3, 4), (256, 1), (0, 5, 5), (7,)])
def test_draws_follow_the_weights(weights: tuple[int, ...]) -> None:
    urn = Urn(dice(3))
    urn.fill(backends(*weights))
    counts = Counter(urn.members[urn.draw()].weight for _ in range(20_000))
    for weight in set(weights) - {0}:
        expected = weight * weights.count(weight) / sum(weights)
        assert counts[weight] / 20_000 == pytest.approx(expected, abs=0.015)
    assert counts[0] == 0


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3)])
def test_the_other_is_another(weights: tuple[int, ...]) -> None:
    urn = Urn(dice(4))
    urn.fill(backends(*weights))
    for first in range(urn.size):
        others = {urn.draw_other(first) for _ in range(500)}
        assert others == set(range(urn.size)) - {first}


def test_the_other_is_found_although_one_has_nearly_all_of_the_weight() -> None:
    urn = Urn(dice(4))
    urn.fill(backends(10**9, 1, 1))
    assert {urn.draw_other(0) for _ in range(100)} == {1, 2}
