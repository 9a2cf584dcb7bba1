"""Places drawn by weight: shares, seeds, and never the same twice where another was asked for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from proxy.balancing.structures.alias_table import AliasTable


def drawn(weights: list[int], count: int, seed: int = 1) -> list[int]:
    draws = AliasTable(seed)
    draws.fill(weights)
    return [draws.draw() for _ in range(count)]


@pytest.mark.parametrize("weights", [[1] * 7, [5, 1, 1], [1, 2, 3, 4], [256, 1], [3], [1] * 5 + [100]])
def test_shares_are_those_of_the_weights(weights: list[int]) -> None:
    counts = Counter(drawn(weights, 100_000))
    for place, weight in enumerate(weights):
        share = weight / sum(weights)
        deviation = (share * (1 - share) / 100_000) ** 0.5
        assert abs(counts[place] / 100_000 - share) <= 5 * deviation


def test_a_draw_does_not_hang_on_the_one_before() -> None:
    picks = drawn([1] * 4, 100_000)
    pairs = Counter(pairwise(picks))
    assert len(pairs) == 16
    assert all(abs(count / 100_000 - 1 / 16) < 0.005 for count in pairs.values())


def test_a_seed_says_it_all_and_none_says_nothing() -> None:
    assert drawn([1, 2, 3], 50, seed=7) == drawn([1, 2, 3], 50, seed=7) != drawn([1, 2, 3], 50, seed=8)
    assert AliasTable().state != AliasTable().state


def test_the_numbers_are_those_of_xorshift64_star() -> None:
    """As its authors' C code has them: the same compiled and interpreted."""
    draws = AliasTable(1)
    draws.state = 1
    assert [draws.number() for _ in range(3)] == [0x47E4CE4B, 0xABCFA6A8, 0xB9D10D8F]


@pytest.mark.parametrize("weights", [[1, 1], [1] * 5, [1, 2, 3]])
def test_another_one_is_another_one(weights: list[int]) -> None:
    draws = AliasTable(3)
    draws.fill(weights)
    seen = Counter()  # type: Counter[tuple[int, int]]
    for _ in range(3000):
        first = draws.draw()
        seen[first, draws.draw_other(first)] += 1
    equal = sum(count for (first, other), count in seen.items() if first == other)
    assert equal <= (0 if draws.even else 100)
    assert len(seen) >= len(weights) * (len(weights) - 1)


def test_where_one_has_nearly_all_of_the_weight_it_may_come_again() -> None:
    draws = AliasTable(3)
    draws.fill([25600, 1])
    assert draws.draw_other(0) in (0, 1)
