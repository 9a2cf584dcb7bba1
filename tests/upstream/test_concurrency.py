"""The adaptive limit, before a simulated upstream: it finds what the upstream can do, and follows it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from proxy.metrics import HISTOGRAM_CELLS, Histogram
from proxy.upstream.concurrency import ConcurrencySpec, Gradient, quantile

TICK = 0.1
DEFAULTS = ConcurrencySpec()


@dataclass
class Upstream:
    """Answers `places` requests at a time within `seconds`; further ones wait there for each other."""

    places: int = 20
    seconds: float = 0.02
    offered: int = 10**9
    """Requests that want to be there at a time."""
    spec: ConcurrencySpec = DEFAULTS
    now: float = 1000.0
    times: Histogram = field(default_factory=Histogram)
    dead: bool = False
    turn: float = 0.0
    """Seconds that the worker's own event loop takes for each request that is there."""

    def __post_init__(self) -> None:
        self.gradient = Gradient(self.spec, self.times.cells, self.now)

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK)):
            there = min(self.offered, self.gradient.allowed)
            took = self.seconds * max(1.0, there / self.places) + self.turn * there
            if self.dead:
                self.gradient.timeouts += there
            else:
                self.observe(took, round(there * TICK / took))
            self.now += TICK
            self.gradient.tick(self.now, there, lag=self.turn * there / 2)

    def observe(self, took: float, times: int) -> None:
        """So many responses that took the same: the cell of one is counted up for all."""
        one = Histogram()
        one.observe(took)
        self.times.cells[one.cells.index(1)] += times


def test_it_finds_what_an_overloaded_upstream_can_do() -> None:
    upstream = Upstream()
    upstream.run(20.0)
    assert 20 <= upstream.gradient.limit <= 45  # all of it is used, and little waits
    assert upstream.gradient.baseline == pytest.approx(0.02, rel=0.25)


@pytest.mark.long
def test_it_stays_there_for_hours() -> None:
    upstream = Upstream()
    upstream.run(3600.0)
    assert 20 <= upstream.gradient.limit <= 45


@pytest.mark.parametrize("places", [5, 80])
def test_it_follows_an_upstream_that_changes(places: int) -> None:
    upstream = Upstream()
    upstream.run(30.0)
    upstream.places = places
    upstream.run(130.0)
    assert places <= upstream.gradient.limit <= 2.6 * places


def test_an_upstream_that_becomes_slower_for_good_is_a_new_baseline() -> None:
    upstream = Upstream()
    upstream.run(30.0)
    upstream.seconds = 0.05
    upstream.run(130.0)
    assert upstream.gradient.baseline == pytest.approx(0.05, rel=0.25)
    assert 20 <= upstream.gradient.limit <= 45


def test_what_a_busy_worker_adds_itself_is_no_wait_at_the_upstream() -> None:
    fast = Upstream(places=10_000, seconds=0.0001, turn=0.00002, offered=64)
    fast.run(130.0)
    assert fast.gradient.limit >= 64


def test_a_busy_worker_still_sees_that_requests_wait_at_the_upstream() -> None:
    upstream = Upstream(turn=0.00002)
    upstream.run(130.0)
    assert 20 <= upstream.gradient.limit <= 55


def test_a_limit_that_is_not_used_does_not_grow() -> None:
    upstream = Upstream(offered=10, places=10_000)
    upstream.run(600.0)
    assert upstream.gradient.limit < 3 * 10


def test_without_load_nothing_is_measured_anew() -> None:
    upstream = Upstream(offered=10)
    upstream.run(5.0)
    for _ in range(600):
        upstream.run(TICK)
        assert not upstream.gradient.probe_ends


def test_a_measurement_ends_even_if_nothing_comes_back() -> None:
    upstream = Upstream(dead=True)
    upstream.run(3.0)
    assert not upstream.gradient.probe_ends


def test_an_upstream_that_answers_nothing_in_time_gets_less() -> None:
    upstream = Upstream()
    upstream.run(10.0)
    before = upstream.gradient.limit
    upstream.dead = True
    upstream.run(10.0)
    assert upstream.gradient.limit == 3.0 < before


def test_all_workers_measure_at_the_same_moment() -> None:
    early, late = Upstream(now=1000.0), Upstream(now=1013.7)
    probing: list[list[float]] = [[], []]
    for found, upstream in zip(probing, (early, late), strict=True):
        upstream.run(5.0)
        while upstream.now < 1210.0:
            upstream.run(TICK)
            if upstream.gradient.settling:
                found.append(upstream.now)
    assert [round(time) for time in probing[0]] == [round(time) for time in probing[1]]
    assert len(probing[0]) >= 3


def test_the_limit_keeps_within_its_bounds() -> None:
    upstream = Upstream(places=10_000, spec=ConcurrencySpec(min=2, max=50))
    upstream.run(60.0)
    assert upstream.gradient.limit == 50.0
    upstream.places = 1
    upstream.run(200.0)
    assert 2.0 <= upstream.gradient.limit <= 5.0


def test_a_quantile_lies_within_its_cell() -> None:
    histogram = Histogram()
    for micros in range(1000, 1250):
        histogram.observe(micros / 1e6)
    counts = list(histogram.cells)
    assert len(counts) == HISTOGRAM_CELLS
    assert quantile(counts, 0.5) == pytest.approx(0.00114, rel=0.05)
    assert quantile([0] * 4, 0.5) == 0.0
