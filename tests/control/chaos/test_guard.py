"""The steady state, told from differences of samples."""

from __future__ import annotations

import pytest

from proxy.control.chaos.contract import Sample
from proxy.control.chaos.guard import Guard, State, between
from proxy.metrics import HISTOGRAM_CELLS, Histogram
from tests.control.chaos.lab import settings

LIMITS = settings().limits
QUIET = State(60.0, 6000, 0, 0.010)


def sample(
    at: float, requests: int, errors: int = 0, seconds: float = 0.008, gone: int = 0, in_flight: int = 0
) -> Sample:
    histogram = Histogram()
    for _ in range(requests):
        histogram.observe(seconds)
    cells = tuple(int(histogram.cells[cell]) for cell in range(HISTOGRAM_CELLS))
    return Sample(at, requests, errors, gone, in_flight, cells)


def test_a_state_is_a_difference() -> None:
    state = between(sample(5.0, 100, 3), sample(15.0, 300, 7))
    assert (state.seconds, state.requests, state.errors, state.error_rate) == (10.0, 200, 4, 0.02)
    assert 0.008 <= state.p99 <= 0.0101


def test_few_requests_have_no_percentile() -> None:
    assert between(sample(0.0, 100), sample(1.0, 119)).p99 == 0.0
    assert between(sample(0.0, 100), sample(1.0, 100)).error_rate == 0.0


@pytest.mark.parametrize(
    ("errors", "latency", "baseline", "stops"),
    [
        (0, 0.008, QUIET, False),
        (10, 0.008, QUIET, False),
        (11, 0.008, QUIET, True),
        (0, 0.015, QUIET, False),
        (0, 0.030, QUIET, True),
        (0, 0.030, State(0.0, 0, 0, 0.0), False),
    ],
    ids=["quiet", "just 1 %", "more than 1 %", "a bit slower", "more than twice", "nothing to compare with"],
)
def test_it_stops_what_lasts(errors: int, latency: float, baseline: State, stops: bool) -> None:
    guard = Guard(LIMITS, baseline, sample(0.0, 0))
    assert guard.look(sample(9.0, 900, errors, latency)) == "", "not before 10 s"
    assert bool(guard.look(sample(10.0, 1000, errors, latency))) == stops


def test_what_was_before_the_last_ten_seconds_is_forgotten() -> None:
    guard = Guard(LIMITS, QUIET, sample(0.0, 0))
    assert guard.look(sample(5.0, 500, 400)) == ""
    assert guard.look(sample(15.0, 1500, 400)) == ""
    assert len(guard.samples) == 2


def test_it_remembers_no_more_than_it_needs() -> None:
    guard = Guard(LIMITS, QUIET, sample(0.0, 0))
    for second in range(1, 100):
        guard.look(sample(float(second), second))
    assert len(guard.samples) <= 12
    assert guard.result().seconds == 99.0


# --- clients that do not wait for an answer, and requests that get none --------------------------------


def test_in_flight_is_told_from_the_looks_that_followed() -> None:
    state = between(sample(0.0, 0, in_flight=50), sample(1.0, 9, in_flight=4), sample(2.0, 20, in_flight=7))
    assert (state.requests, state.calm, state.busy) == (20, 4, 7)


@pytest.mark.parametrize(
    ("usual", "gone", "stops"),
    [(0, 10, False), (0, 11, True), (300, 59, False), (300, 61, True)],
    ids=["just 1 %", "more than 1 %", "what is usual and a bit", "1 % more than usual"],
)
def test_clients_that_leave_more_often_than_usual_are_errors(usual: int, gone: int, stops: bool) -> None:
    guard = Guard(LIMITS, QUIET._replace(gone=usual), sample(0.0, 0))
    assert bool(guard.look(sample(10.0, 1000, gone=gone))) == stops


def test_requests_that_stay_in_flight_are_errors() -> None:
    guard = Guard(LIMITS, QUIET._replace(busy=5), sample(0.0, 0))
    for second in range(1, 10):
        assert guard.look(sample(float(second), 0, in_flight=10 + second)) == ""
    why = guard.look(sample(10.0, 0, in_flight=20))
    assert "100.00% errors within 10 s (0 responses, 0 clients that left, 6 without an answer)" in why


def test_requests_that_are_usually_in_flight_are_none() -> None:
    """WebSockets, for one."""
    guard = Guard(LIMITS, QUIET._replace(busy=500), sample(0.0, 0, in_flight=480))
    assert [guard.look(sample(float(second), second, in_flight=500)) for second in range(1, 20)] == [""] * 19
    assert guard.result().busy == 500


def test_without_a_baseline_what_is_there_at_the_start_is_usual() -> None:
    guard = Guard(LIMITS, State(0.0, 0, 0, 0.0), sample(0.0, 0, in_flight=40))
    assert guard.look(sample(10.0, 0, in_flight=40)) == ""


def test_a_moment_with_much_in_flight_is_no_stall() -> None:
    guard = Guard(LIMITS, QUIET, sample(0.0, 0))
    assert guard.look(sample(5.0, 500, in_flight=0)) == ""
    assert guard.look(sample(10.0, 1000, in_flight=400)) == ""


def test_what_is_over_is_judged_by_what_there_is() -> None:
    guard = Guard(LIMITS, QUIET, sample(0.0, 0))
    assert guard.look(sample(2.0, 100, 50)) == ""
    assert "50.00% errors within 2 s" in guard.look(sample(2.0, 100, 50), over=True)
