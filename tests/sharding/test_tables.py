"""The hash that everything is placed by, and the sequence of numbers behind it."""

from __future__ import annotations

from array import array
from collections import Counter

import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sharding.tables import arcs, darts, hash_of, maglev, next_hash, ring, tally

NOBODY = 0xFFFF


@given(st.binary(max_size=100))
def test_it_is_murmur(key: bytes) -> None:
    assert hash_of(key) == mmh3.hash64(key, signed=False)[0]


def test_the_sequence_is_splitmix() -> None:
    """The first numbers of SplitMix64 with seed 1234567, as in its reference implementation."""
    golden, seed = 0x9E3779B97F4A7C15, 1234567
    found = [next_hash((seed + k * golden) % 2**64) for k in range(3)]
    assert found == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_a_hash_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError):
        hash_of("text")  # type: ignore[arg-type]


def test_without_anybody_tables_are_empty() -> None:
    nobody, none = array("Q"), array("d")
    points, starts, _ = ring(nobody, array("i"))
    assert (len(points), set(starts)) == (0, {0})
    assert set(maglev(nobody, none, 11, 0)) == set(maglev(nobody, none, 11, 5)) == {NOBODY}
    assert set(darts(nobody, none, 4)) == {NOBODY}


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 200)), max_size=10))
def test_the_points_of_a_ring_are_all_there(given: list[tuple[int, int]]) -> None:
    seeds, counts = array("Q", [seed for seed, _ in given]), array("i", [count for _, count in given])
    points, starts, shift = ring(seeds, counts)
    assert list(points) == sorted(points)
    assert Counter(point & 0xFFFF for point in points) == Counter(
        {at: count for at, count in enumerate(counts) if count}
    )
    assert starts[-1] == len(points)
    for at, point in enumerate(points):
        bucket = point >> shift
        assert starts[bucket] <= at < starts[bucket + 1]


def test_who_has_how_much_of_a_table() -> None:
    assert list(tally(array("H", [2, 0, 2, 2]), 4)) == [1, 0, 3, 0]
    assert list(tally(array("H", [NOBODY] * 4), 0)) == []


def test_who_has_how_much_of_a_ring() -> None:
    """An arc ends at its owner's point; that of the first begins behind the last."""
    quarter = 1 << 62
    assert list(arcs(array("Q", [quarter, 2 * quarter | 1, 3 * quarter]), 2)) == [0.75, 0.25]
    assert list(arcs(array("Q", [quarter]), 1)) == [1.0]
    assert list(arcs(array("Q"), 0)) == []
