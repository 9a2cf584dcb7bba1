"""Counters of an upstream: its own row, sums over workers, histograms."""

from __future__ import annotations

from proxy.metrics import HISTOGRAM_CELLS, U_ACTIVE, U_RELAY, U_REQUESTS
from proxy.scoreboard import UPSTREAM_ROW
from tests.support.upstreams import stats_of, two_workers


def test_a_worker_counts_in_its_own_row() -> None:
    board = two_workers()
    stats = stats_of(board)
    stats.count(U_REQUESTS)
    stats.count(U_REQUESTS)
    assert stats.rows[U_REQUESTS] == stats.all_rows[UPSTREAM_ROW + U_REQUESTS] == 2
    assert stats.all_rows[2 * UPSTREAM_ROW + U_REQUESTS] == 0


def test_a_total_is_over_all_workers_but_not_the_supervisor() -> None:
    stats = stats_of(two_workers())
    for slot, value in enumerate((100, 2, 3)):
        stats.all_rows[slot * UPSTREAM_ROW + U_ACTIVE] = value
    assert stats.total(U_ACTIVE) == 5


def test_each_histogram_has_cells_of_its_own_in_the_row() -> None:
    stats = stats_of()
    histograms = (
        stats.pick_seconds,
        stats.connect_seconds,
        stats.send_seconds,
        stats.relay_seconds,
        stats.finish_seconds,
    )
    stats.relay_seconds.observe(0.001)
    assert [sum(histogram.cells) for histogram in histograms] == [0, 0, 0, 1, 0]
    assert sum(stats.rows[U_RELAY : U_RELAY + HISTOGRAM_CELLS]) == 1
