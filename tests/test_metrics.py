"""Counters and histograms: nothing is lost, buckets are as wide as promised, and reading changes nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.metrics import OCTAVES, STEPS, Counters, Histogram

MICROS = st.integers(0, 2**44)


def cell_of(seconds: float) -> int:
    histogram = Histogram()
    histogram.observe(seconds)
    (cell,) = [index for index, count in enumerate(histogram.cells) if count]
    return cell


def lower(cell: int) -> float:
    return Histogram.bound(cell - 1) if cell else 0.0


@given(MICROS)
def test_a_duration_lies_in_its_cell(micros: int) -> None:
    seconds = micros / 1e6
    cell = cell_of(seconds)
    if cell < OCTAVES * STEPS - 1 and seconds < Histogram.bound(OCTAVES * STEPS - 2):
        # a whole number of microseconds may be one less as a float
        assert lower(cell) <= seconds + 1e-6
        assert seconds < Histogram.bound(cell) + 1e-9


def test_the_bounds_grow_by_a_quarter_at_most() -> None:
    bounds = [Histogram.bound(cell) for cell in range(OCTAVES * STEPS)]
    assert bounds == sorted(set(bounds))
    assert bounds[0] == 1e-6
    assert all(b <= a * 1.250001 for a, b in pairwise(bounds[4:]))


@pytest.mark.parametrize(("seconds", "cell"), [(0.0, 0), (-1.0, 0), (1e-6, 1), (3e-6, 3), (4e-6, 4), (8e-6, 8)])
def test_small_durations(seconds: float, cell: int) -> None:
    assert cell_of(seconds) == cell


def test_the_longest_duration_is_counted_too() -> None:
    assert cell_of(1e6) == cell_of(1e9)


@given(st.lists(st.floats(1e-5, 3600), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_at_most_a_quarter_too_high(values: list[float], part: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    ordered = sorted(values)
    exact = next(v for n, v in enumerate(ordered, 1) if n >= part * len(values))
    assert exact - 1e-6 <= histogram.quantile(part) <= exact * 1.25 + 2e-6


def test_a_quantile_of_nothing() -> None:
    assert Histogram().quantile(0.99) == 0.0


def test_counters() -> None:
    counters = Counters()
    for _ in range(6):
        counters.began()
    for status in (200, 204, 404, 499, 502):
        counters.finished(status, 0.001, 10, 100)
    counters.reason("route.no_route")
    counters.reason("route.no_route")
    counters.reason("send.reset")
    seen = counters.snapshot()
    assert (seen.requests, seen.in_flight, seen.bytes_in, seen.bytes_out) == (5, 1, 50, 500)
    assert seen.statuses == {2: 2, 4: 2, 5: 1}
    assert seen.reasons == {"route.no_route": 2, "send.reset": 1}
    assert 0.001 <= seen.p50 <= 0.00125
    assert counters.snapshot() == seen


def test_a_snapshot_does_not_change_afterwards() -> None:
    counters = Counters()
    counters.reason("route.no_route")
    before = counters.snapshot()
    counters.reason("route.no_route")
    counters.finished(200, 1, 0, 0)
    assert before.reasons == {"route.no_route": 1}
    assert (before.requests, before.statuses) == (0, {})


@pytest.mark.parametrize("status", [0, 100, 599, 999])
def test_any_status_is_counted(status: int) -> None:
    counters = Counters()
    counters.finished(status, 0.0, 0, 0)
    assert counters.snapshot().statuses == {status // 100: 1}
