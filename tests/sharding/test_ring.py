"""The ring: points by name and weight alone, a lookup that finds what a bisection would, and which keys move."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.moving import HASHES, equal, joining, leaving, moved, owners
from proxy.sharding import Ring
from proxy.sharding.ring import MOST_POINTS, POINTS, unit_for

WEIGHTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(0.05, 4.0), min_size=1, max_size=8)
COUNTS = [3, 10, 100, *(pytest.param(count, marks=pytest.mark.long) for count in (1000, 10_000))]


@settings(max_examples=50)
@given(WEIGHTS, st.lists(st.integers(0, 2**64 - 1), max_size=50))
def test_a_lookup_finds_the_next_point(weights: dict[str, float], places: list[int]) -> None:
    ring = Ring(weights, 50)
    points = list(ring.points)
    assert points == sorted(points)
    bounds = [point >> 16 for point in points]
    for place in [*places, 0, 2**64 - 1, *points, *(point + 0x10000 for point in points[:-1])]:
        at = bisect_left(bounds, place >> 16)
        assert ring.at(place) == points[at % len(points)] & 0xFFFF


def test_there_are_as_many_points_as_the_weight_says() -> None:
    ring = Ring({"a": 1.0, "b": 2.5, "c": 0.001})
    owners = [point & 0xFFFF for point in ring.points]
    counts = [owners.count(at) for at in range(3)]
    assert counts == [POINTS, 2.5 * POINTS, 1]
    assert len(Ring(equal(2)).points) == 1024


@pytest.mark.long
@settings(max_examples=30)
@given(WEIGHTS, st.text("abcdefgh", min_size=1, max_size=3), st.floats(0.05, 4.0))
def test_no_key_moves_between_two_others(weights: dict[str, float], name: str, weight: float) -> None:
    """Whether a name comes, goes, or changes its weight."""
    others = {each: weights[each] for each in weights if each != name} or {"z": 1.0}
    before, after = owners(Ring(others)), owners(Ring({**others, name: weight}))
    assert moved(before, after, name) == 0
    assert moved(after, owners(Ring({**others, name: weight / 2})), name) == 0


@pytest.mark.parametrize("count", COUNTS)
def test_keys_that_move(count: int) -> None:
    def make(weights: Mapping[str, float]) -> Ring:
        return Ring(weights, unit_for(POINTS, count + 1))

    everything, foreign = leaving(make, count)
    assert everything <= 1.1
    assert foreign == 0
    everything, foreign = joining(make, count)
    assert everything <= (1.15 if count <= 1000 else 2.0)  # the share of the one who comes, as chance has it
    assert foreign == 0


def test_a_changed_weight_moves_as_much_as_it_changes() -> None:
    weights = equal(100)
    name = next(iter(weights))
    before, after = owners(Ring(weights)), owners(Ring({**weights, name: 2.0}))
    assert moved(before, after, name) == 0
    assert 0.7 / 100 <= moved(before, after) / len(HASHES) <= 1.3 / 100


def test_shares_are_those_of_the_arcs() -> None:
    ring = Ring({"a": 1.0, "b": 2.0, "c": 5.0})
    shares = ring.shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    for name, weight in (("a", 1), ("b", 2), ("c", 5)):
        assert shares[name] == pytest.approx(weight / 8, rel=0.12)
        assert owners(ring).count(name) / len(HASHES) == pytest.approx(shares[name], abs=0.015)
    assert Ring({}).shares() == {}


def test_the_number_of_points_is_bounded_in_coarse_steps() -> None:
    assert unit_for(POINTS, 1000) == POINTS
    assert unit_for(POINTS, MOST_POINTS / POINTS + 1) == POINTS / 2
    assert unit_for(POINTS, 10_000) * 10_000 <= MOST_POINTS
    assert len(Ring(equal(3000), unit_for(POINTS, 3000)).points) <= MOST_POINTS
