"""The circuit breaker: when it opens, what it lets through then, and how it closes."""

from __future__ import annotations

import pytest

from proxy import scoreboard
from proxy.metrics import U_BREAKER_OPENED, U_BREAKER_REFUSED
from proxy.scoreboard import UPSTREAM_ROW, Scoreboard
from proxy.upstream import breaker as module
from proxy.upstream.breaker import Breaker, BreakerSpec

SPEC = BreakerSpec(failures=0.5, requests=10, window=10.0, open=5.0, open_max=15.0, trials=2)


class Clock:
    """One time for the loop's clock and the board's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "monotonic_ns", lambda: round(self.now * 1e9))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def made(spec: BreakerSpec = SPEC, board: Scoreboard | None = None) -> Breaker:
    board = board or scoreboard.alone()
    return Breaker(spec, board, board.upstream_rows("app"))


def happen(breaker: Breaker, clock: Clock, good: int, bad: int, seconds: float = 0.0) -> None:
    for n in range(good + bad):
        breaker.record(clock.now - seconds, clock.now, n >= good)


def counted(breaker: Breaker, cell: int) -> int:
    return int(breaker.rows[breaker.own + cell])


def test_it_opens_at_the_share_of_failures(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 6, 5)
    assert not breaker.opened
    happen(breaker, clock, 0, 1)
    assert breaker.opened
    assert breaker.wait(clock.now) == pytest.approx(5.0)
    assert (counted(breaker, U_BREAKER_OPENED), counted(breaker, U_BREAKER_REFUSED)) == (1, 1)


def test_few_requests_say_nothing(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 9)
    assert not breaker.opened


def test_what_is_long_ago_says_nothing(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 9)
    for _ in range(120):
        clock.now += 0.1
        breaker.tick(clock.now)
    happen(breaker, clock, 0, 9)
    assert not breaker.opened
    happen(breaker, clock, 0, 1)
    assert breaker.opened


def test_slow_responses_count_as_failures(clock: Clock) -> None:
    breaker = made(SPEC._replace(slow=1.0))
    happen(breaker, clock, 20, 0, seconds=0.9)
    assert not breaker.opened
    happen(breaker, clock, 20, 0, seconds=1.1)
    assert breaker.opened


def test_trials_that_succeed_close_it(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 10)
    clock.now += 5.1
    assert [breaker.wait(clock.now) for _ in range(3)] == [0.0, 0.0, SPEC.open]
    happen(breaker, clock, 2, 0)
    assert not breaker.opened
    breaker.refresh(clock.now)
    assert not breaker.opened


def test_a_trial_that_fails_opens_it_for_longer_up_to_a_limit(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 10)
    for seconds in (10.0, 15.0, 15.0):
        clock.now = breaker.until + 0.1
        assert breaker.wait(clock.now) == 0.0
        breaker.record(clock.now, clock.now, True)
        assert breaker.wait(clock.now) == pytest.approx(seconds)


def test_after_a_while_of_calm_it_begins_with_a_short_time_again(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 10)
    clock.now = breaker.until + 0.1
    breaker.wait(clock.now)
    happen(breaker, clock, 2, 0)
    clock.now += SPEC.window + 1
    happen(breaker, clock, 0, 10)
    assert breaker.wait(clock.now) == pytest.approx(5.0)


def test_requests_from_before_it_opened_decide_nothing(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 10)
    happen(breaker, clock, 50, 50)
    assert counted(breaker, U_BREAKER_OPENED) == 1
    clock.now += 5.1
    happen(breaker, clock, 5, 0, seconds=5.0)
    assert breaker.opened


def test_trials_that_come_to_nothing_are_given_again(clock: Clock) -> None:
    breaker = made()
    happen(breaker, clock, 0, 10)
    clock.now += 5.1
    assert [breaker.wait(clock.now) for _ in range(3)] == [0.0, 0.0, SPEC.open]
    clock.now += SPEC.open + 0.1
    assert breaker.wait(clock.now) == 0.0


def test_what_one_worker_opens_is_open_in_all_and_each_tries_for_itself(clock: Clock) -> None:
    board = scoreboard.create(3)
    others = [scoreboard.attach(board.fd, 3, slot) for slot in (1, 2)]
    first, second = (made(board=each) for each in others)
    epoch = board.epoch()
    happen(first, clock, 0, 10)
    assert board.epoch() != epoch
    second.refresh(clock.now)
    assert second.wait(clock.now) == pytest.approx(5.0)
    clock.now += 5.1
    second.wait(clock.now)
    happen(second, clock, 2, 0)
    second.refresh(clock.now)
    assert (first.opened, second.opened) == (True, False)
    first.wait(clock.now)
    happen(first, clock, 0, 1)
    second.refresh(clock.now)
    assert second.opened
    assert second.rows[UPSTREAM_ROW + U_BREAKER_OPENED] == 2
