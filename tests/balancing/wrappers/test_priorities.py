"""Priorities: the tables of Envoy's documentation (priority levels, panic threshold)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.wrappers.priorities import Priorities, ability, shares_of

from ..members import backends, placed, set_members, settle, shares

TABLE = [
    # healthy of 100 by level, what each gets in per cent
    ([100, 100], [100, 0]),
    ([72, 100], [100, 0]),
    ([71, 100], [99.4, 0.6]),
    ([50, 100], [70, 30]),
    ([25, 100], [35, 65]),
    ([0, 100], [0, 100]),
    ([72, 72], [100, 0]),
    ([71, 71], [99.4, 0.6]),
    ([50, 50], [70, 30]),
    ([25, 25], [50, 50]),
    ([5, 65], [7.14, 92.86]),
    ([100, 100, 100], [100, 0, 0]),
    ([71, 71, 100], [99.4, 0.6, 0]),
    ([50, 50, 100], [70, 30, 0]),
    ([25, 100, 100], [35, 65, 0]),
    ([25, 25, 100], [35, 35, 30]),
    ([25, 25, 20], [35.7, 35.7, 28.6]),
]
"""Envoy works with whole per cents and shows 71 % as 99 : 1."""


@pytest.mark.parametrize(("healthy", "expected"), TABLE, ids=str)
def test_the_documented_tables(healthy: list[int], expected: list[float]) -> None:
    able = [ability(count, 100, 1.4) for count in healthy]
    assert shares_of(able) == pytest.approx([each / 100 for each in expected], abs=0.0006)


@pytest.mark.parametrize(("healthy", "expected"), [row for row in TABLE if len(row[0]) == 2], ids=str)
def test_backends_that_fail_spill_over_as_the_tables_say(healthy: list[int], expected: list[float]) -> None:
    levels = Priorities(PowerOfTwo, 1.4, seed=7)
    members = [each for n, count in enumerate(healthy) for each in placed(f"p{n}-", 100, 100 - count, priority=n)]
    settle(levels, members)
    assert {part.label: part.share for part in levels.parts} == pytest.approx(
        {n: share / 100 for n, share in enumerate(expected) if healthy[n]}, abs=0.0006
    )
    found = shares(levels, "priority")
    for n, share in enumerate(expected):
        assert found.get(n, 0.0) == pytest.approx(share / 100, abs=0.03)


def test_in_panic_a_level_still_gets_what_its_healthy_ones_can_serve() -> None:
    """The last row of Envoy's table of the panic threshold: P0 5 % in panic gets 7 %, not everything."""
    levels = Priorities(PowerOfTwo, 1.4, seed=7)
    members = placed("p0-", 100, 95, priority=0) + placed("p1-", 100, 35, priority=1)
    settle(levels, members, panic=True)
    assert shares(levels, "priority")[0] == pytest.approx(0.07, abs=0.02)


def test_if_nobody_is_healthy_what_was_taken_in_panic_is_used_the_first_level_first() -> None:
    levels = Priorities(PowerOfTwo)
    settle(levels, placed("p1-", 3, 3, priority=1) + placed("p2-", 3, 3, priority=2), panic=True)
    assert shares(levels, "priority", picks=100) == {1: pytest.approx(1.0)}


def test_a_level_that_is_all_gone_is_left_out_and_numbers_may_have_gaps() -> None:
    levels = Priorities(PowerOfTwo, seed=1)
    settle(levels, placed("p3-", 4, 4, priority=3) + placed("p9-", 2, priority=9))
    assert shares(levels, "priority", picks=100) == {9: pytest.approx(1.0)}


def test_without_a_weight_a_backend_counts_neither_as_healthy_nor_as_missing() -> None:
    levels = Priorities(PowerOfTwo)
    members = placed("p0-", 2, priority=0) + placed("p1-", 2, priority=1)
    for backend in placed("parked", 8, priority=0):
        backend.weight = 0
        members.append(backend)
    settle(levels, members)
    assert [part.share for part in levels.parts] == [1.0, 0.0]


def test_only_parked_ones_are_nobody() -> None:
    levels = Priorities(PowerOfTwo)
    settle(levels, backends(0, 0))
    assert levels.pick(None) is None
    settle(levels, [])
    assert levels.pick(None) is None


def test_without_a_census_the_usable_ones_are_all() -> None:
    levels = Priorities(PowerOfTwo)
    set_members(levels, backends(1, 1))
    assert [part.share for part in levels.parts] == [1.0]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
def test_shares_add_up_and_nobody_gets_more_than_it_can_of_what_is_left(able: list[float]) -> None:
    found = shares_of(able)
    total = min(1.0, sum(able))
    assert sum(found) == pytest.approx(1.0 if total > 0 else 0.0)
    for each, share in zip(able, found, strict=True):
        assert 0.0 <= share <= (each / total if total else 0.0) + 1e-9
