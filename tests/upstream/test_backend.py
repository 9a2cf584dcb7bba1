"""A backend's numbers: its own, and those of all workers."""

from __future__ import annotations

from proxy.scoreboard import IN_FLIGHT, ROW, alone
from proxy.upstream.backend import Backend, BackendSpec
from tests.support.upstreams import backends, two_workers

SPEC = BackendSpec("a:1", "a", 1, "")


def test_without_a_board_its_numbers_are_its_own() -> None:
    backend = Backend(SPEC)
    backend.in_flight = 3
    assert (backend.load(), backend.in_flight) == (3, 3)


def test_with_one_worker_its_load_is_that_of_the_worker() -> None:
    board = alone()
    backend = Backend(SPEC, board.backend_rows("app", "a:1"), board)
    backend.rows[ROW + IN_FLIGHT] = 2
    assert (backend.load(), backend.in_flight) == (2, 2)


def test_with_more_workers_its_load_is_their_sum() -> None:
    (backend,) = backends(1, board=two_workers())
    backend.rows[ROW + IN_FLIGHT], backend.rows[2 * ROW + IN_FLIGHT] = 2, 5
    assert (backend.load(), backend.in_flight) == (7, 2)
