"""Token buckets: what is let through over time, how long others wait, and what a full table costs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.buckets import WAYS, Buckets

MS = 1_000_000


def buckets(sets: int = 64) -> Buckets:
    return Buckets(memoryview(bytearray(sets * WAYS * 16)).cast("q"))


def test_the_burst_at_once_and_then_the_rate() -> None:
    table = buckets()
    assert [table.take(7, 0, 10 * MS, 30 * MS) for _ in range(4)] == [0, 0, 0, 10 * MS]
    assert table.take(7, 9 * MS, 10 * MS, 30 * MS) == 1 * MS
    assert [table.take(7, 10 * MS, 10 * MS, 30 * MS) for _ in range(2)] == [0, 10 * MS]


def test_what_is_refused_takes_nothing() -> None:
    table = buckets()
    for _ in range(100):
        table.take(7, 0, 10 * MS, 10 * MS)
    assert table.used(7, 0) == 10 * MS
    assert table.take(7, 10 * MS, 10 * MS, 10 * MS) == 0


def test_keys_have_buckets_of_their_own() -> None:
    table = buckets(sets=1)
    assert [table.take(key, 0, MS, MS) for key in range(1, WAYS + 1)] == [0] * WAYS
    assert [table.take(key, 0, MS, MS) for key in range(1, WAYS + 1)] == [MS] * WAYS


def test_a_bucket_that_is_full_again_makes_room() -> None:
    table = buckets(sets=1)
    for key in range(1, WAYS + 1):
        table.take(key, 0, MS, MS)
    assert table.take(99, MS, MS, MS) == 0
    assert table.forgiven == 0


def test_in_a_full_table_the_one_that_used_least_is_forgiven() -> None:
    table = buckets(sets=1)
    for key in range(1, WAYS + 1):
        for _ in range(key):
            table.take(key, 0, MS, WAYS * MS)
    assert table.take(99, 0, MS, WAYS * MS) == 0
    assert (table.forgiven, table.used(1, 0), table.used(2, 0)) == (1, 0, 2 * MS)
    assert table.used(99, 0) == MS


def test_numbers_of_all_64_bits_are_keys() -> None:
    table = buckets()
    for key in (-1, -(2**63), 2**63 - 1):
        assert [table.take(key, 0, MS, MS) for _ in range(2)] == [0, MS]


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 5 * MS)), max_size=200), st.integers(1, 20))
def test_nobody_gets_more_than_burst_and_rate(steps: list[tuple[int, int]], burst: int) -> None:
    table, now = buckets(), 0
    let_through = {key: [] for key in (1, 2, 3)}  # type: dict[int, list[int]]
    for key, pause in steps:
        now += pause
        wait = table.take(key, now, MS, burst * MS)
        if wait == 0:
            let_through[key].append(now)
        else:
            assert 0 < wait <= MS
    for times in let_through.values():
        for first, begin in enumerate(times):
            for last, end in enumerate(times[first:], first):
                assert last - first + 1 <= burst + (end - begin) // MS + 1
