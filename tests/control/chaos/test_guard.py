"""The steady state, told from differences of samples."""

from __future__ import annotations

import pytest

from proxy.control.chaos.contract import Sample
from proxy.control.chaos.guard import Guard, State, between
from proxy.metrics import HISTOGRAM_CELLS, Histogram
from tests.control.chaos.lab import settings

LIMITS = settings().limits
QUIET = State(60.0, 6000, 0, 0.010)


def sample(at: float, requests: int, errors: int = 0, seconds: float = 0.008) -> Sample:
    histogram = Histogram()
    for _ in range(requests):
        histogram.observe(seconds)
    return Sample(at, requests, errors, tuple(int(histogram.cells[cell]) for cell in range(HISTOGRAM_CELLS)))


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
