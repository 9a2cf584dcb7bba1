"""The table of sessions: what is kept comes back, for every worker, until it is old or the table is full."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from proxy.features.sticky.sessions import WAYS, Sessions
from proxy.scoreboard import MOST_BACKENDS, SESSION_CELLS, attach
from proxy.scoreboard import create as create_board

SALT = b"sixteen bytes it"
SECOND_MASK = (1 << 24) - 1


def table(ways: int = WAYS, ttl: float = 60.0, salt: bytes = SALT) -> Sessions:
    return Sessions(array("q", bytes(8 * ways)), salt, ttl)


@given(st.dictionaries(st.binary(min_size=1, max_size=40), st.integers(0, MOST_BACKENDS - 1), max_size=30))
def test_what_is_kept_comes_back(rows: dict[bytes, int]) -> None:
    sessions = table(65_536)
    for session, row in rows.items():
        assert sessions.find(session, 5.0) == -1
        sessions.keep(session, row, 5.0)
    assert {session: sessions.find(session, 9.9) for session in rows} == rows


def test_a_session_can_move() -> None:
    sessions = table()
    for row in (3, 0, MOST_BACKENDS - 1):
        sessions.keep(b"s", row, 1.0)
        assert sessions.find(b"s", 1.0) == row
    assert sum(cell != 0 for cell in sessions.cells) == 1


def test_a_session_that_is_used_lives_on() -> None:
    sessions = table(ttl=10.0)
    sessions.keep(b"s", 1, 100.0)
    for now in (109.0, 118.0, 127.0):
        assert sessions.find(b"s", now) == 1
    assert sessions.find(b"s", 138.0) == -1


def test_to_look_for_a_session_is_not_to_use_it() -> None:
    sessions = table(ttl=10.0)
    sessions.keep(b"s", 1, 100.0)
    assert (sessions.peek(b"s", 109.0), sessions.peek(b"t", 109.0)) == (1, -1)
    assert sessions.peek(b"s", 111.0) == -1


def test_the_least_recently_used_gives_way() -> None:
    """One set of eight places, and a ninth session."""
    sessions = table()
    for n in range(WAYS):
        sessions.keep(b"s%d" % n, n, 10.0 + n)
    assert sessions.find(b"s0", 30.0) == 0  # used again, so s1 is the oldest now
    sessions.keep(b"new", 99, 31.0)
    assert [sessions.find(b"s%d" % n, 31.0) for n in range(WAYS)] == [0, -1, *range(2, WAYS)]
    assert sessions.find(b"new", 31.0) == 99


def test_a_clock_that_has_run_for_long_is_no_matter() -> None:
    """Seconds are kept modulo 2^24."""
    sessions = table(ttl=60.0)
    sessions.keep(b"s", 1, SECOND_MASK - 1.0)
    assert sessions.find(b"s", SECOND_MASK + 5.0) == 1
    assert sessions.find(b"s", SECOND_MASK + 70.0) == -1


def test_what_another_worker_has_used_a_moment_ago_is_neither_old_nor_the_oldest() -> None:
    """Requests carry the time when they began, and another worker may have written since."""
    sessions = table(ttl=60.0)
    sessions.keep(b"s", 1, 101.0)
    assert sessions.find(b"s", 100.9) == 1
    assert sessions.find(b"s", 161.0) == 1  # it was not set back
    for n in range(WAYS - 1):
        sessions.keep(b"s%d" % n, n, 90.0 + n)
    sessions.keep(b"new", 9, 100.5)
    assert sessions.find(b"s", 102.0) == 1
    assert sessions.find(b"s0", 102.0) == -1


def test_upstreams_are_apart() -> None:
    cells = array("q", bytes(8 * 65_536))
    one, other = Sessions(cells, b"1" * 16, 60.0), Sessions(cells, b"2" * 16, 60.0)
    for n in range(200):
        one.keep(b"%d" % n, n, 1.0)
    assert [other.find(b"%d" % n, 1.0) for n in range(200)] == [-1] * 200
    assert [one.find(b"%d" % n, 1.0) for n in range(200)] == list(range(200))


def test_all_workers_have_the_same() -> None:
    board = create_board(3)
    workers = [attach(board.fd, 3, slot) for slot in (1, 2)]
    first, second = (Sessions(worker.sessions(), SALT, 60.0) for worker in workers)
    first.keep(b"s", 7, 1.0)
    assert second.find(b"s", 2.0) == 7
    second.keep(b"s", 8, 2.0)
    assert first.find(b"s", 2.0) == 8
    assert len(board.sessions()) == SESSION_CELLS
    assert not any(board.buckets())
