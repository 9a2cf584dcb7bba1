"""Cells that processes share: who sees what, what a death leaves behind, and how rows are given out."""

from __future__ import annotations

import os

import pytest

from proxy import scoreboard
from proxy.errors import BoardFull
from proxy.metrics import Counters
from proxy.scoreboard import (
    CONNECTIONS,
    EJECTED_UNTIL,
    IN_FLIGHT,
    REQUESTS,
    ROW,
    Directory,
    Scoreboard,
    alone,
    attach,
    create,
)


def two() -> tuple[Scoreboard, Scoreboard]:
    """The same memory as two processes have it."""
    first = create(3)
    second = attach(os.dup(first.fd), 3, 2)
    second.backends.replace({"app\na:1": first.backends.row("app\na:1")})
    return first, second


def test_what_one_writes_the_other_reads() -> None:
    first, second = two()
    second.backend_rows("app", "a:1")[2 * ROW + IN_FLIGHT] = 7
    assert first.backend_rows("app", "a:1")[2 * ROW + IN_FLIGHT] == 7
    assert first.backend_rows("app", "a:1")[ROW + IN_FLIGHT] == 0


def test_parts_do_not_overlap() -> None:
    board = create(3)
    parts = [board.slot_head(slot) for slot in range(3)]
    parts += [board.backend_rows("app", "a:1"), board.backend_rows("app", "b:1"), board.backend_rows("other", "a:1")]
    parts += [board.upstream_rows("app"), board.upstream_rows("other"), board.buckets()]
    for number, part in enumerate(parts, 1):
        for cell in range(0, len(part), 3):
            part[cell] = number
    for number, part in enumerate(parts, 1):
        assert {part[cell] for cell in range(0, len(part), 3)} == {number}


def test_a_change_is_seen_by_its_epoch() -> None:
    first, second = two()
    before = second.epoch()
    first.changed(0)
    assert second.epoch() != before
    before = first.epoch()
    second.changed(2)
    assert first.epoch() != before


def test_what_a_dead_process_had_in_flight_is_cleared_and_what_it_counted_stays() -> None:
    first, second = two()
    rows = second.backend_rows("app", "a:1")
    own = 2 * ROW
    rows[own + IN_FLIGHT], rows[own + CONNECTIONS], rows[own + EJECTED_UNTIL], rows[own + REQUESTS] = 3, 4, 5, 6
    counters = Counters(second.slot_head(2))
    counters.opened()
    counters.began()
    counters.finished(200, 0.1, 1, 2)
    counters.began()
    before = first.epoch()
    first.clear_in_flight(2)
    assert [rows[own + cell] for cell in (IN_FLIGHT, CONNECTIONS, EJECTED_UNTIL, REQUESTS)] == [0, 0, 0, 6]
    assert (counters.connections_open, counters.in_flight, counters.connections, counters.requests) == (0, 0, 1, 1)
    assert first.epoch() != before


def test_a_successor_goes_on_counting() -> None:
    _, second = two()
    Counters(second.slot_head(2)).finished(200, 0.1, 1, 2)
    second.take_slot(os.getpid())
    successor = Counters(second.slot_head(2))
    successor.finished(200, 0.1, 1, 2)
    assert successor.requests == 2


def test_beats() -> None:
    first, second = two()
    assert first.last_beat(2) == 0
    second.beat()
    assert first.last_beat(2) > 0


def test_how_many_slots_are_in_use() -> None:
    first, second = two()
    second.refresh()
    assert second.used == 3
    first.set_used(2)
    second.refresh()
    assert second.used == 2


def test_rows_of_those_who_leave_are_given_to_others_empty() -> None:
    board = alone()
    rows = board.backend_rows("app", "a:1")
    rows[ROW + REQUESTS] = 9
    board.forget_backend("app", "a:1")
    assert board.backend_rows("app", "b:1")[ROW + REQUESTS] == 0
    assert board.backends.rows == {"app\nb:1": 0}
    board.forget_backend("app", "nobody")


def test_a_directory_has_an_end() -> None:
    directory = Directory(2, "backends")
    assert [directory.row("a"), directory.row("b"), directory.row("a")] == [0, 1, 0]
    with pytest.raises(BoardFull, match="more than 2 backends"):
        directory.row("c")
    directory.release("a")
    assert directory.row("c") == 0


def test_an_unused_board_takes_no_memory() -> None:
    board = create(65)
    assert os.fstat(board.fd).st_size > 100_000_000
    assert os.fstat(board.fd).st_blocks * 512 < 100_000
    assert len(board.buckets()) == scoreboard.BUCKET_CELLS


def test_rows_that_nobody_uses_are_freed_when_the_last_worker_has_let_go() -> None:
    first, second = two()
    first.backend_rows("app", "b:1")
    rows = second.backend_rows("app", "a:1")
    rows[2 * ROW + CONNECTIONS] = 1
    first.forget_unused({"app\nb:1"})
    assert set(first.backends.rows) == {"app\na:1", "app\nb:1"}
    rows[2 * ROW + CONNECTIONS], rows[2 * ROW + REQUESTS] = 0, 5
    first.forget_unused({"app\nb:1"})
    assert set(first.backends.rows) == {"app\nb:1"}
    assert rows[2 * ROW + REQUESTS] == 0
