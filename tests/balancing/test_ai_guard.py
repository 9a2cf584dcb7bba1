"""The contest of the learned algorithm with power of two choices."""

from __future__ import annotations

from proxy.balancing.ai_guard import ENOUGH, LOST, Contest


def window(contest: Contest, usual_slow: float, control_slow: float) -> None:
    """One window: a thousand requests and a control group, with these shares of failed ones."""
    for number in range(1000):
        contest.over(0.01, number < 1000 * usual_slow, False)
    for number in range(2 * ENOUGH):
        contest.over(0.01, number < 2 * ENOUGH * control_slow, True)
    contest.judge()


def test_it_falls_back_after_three_windows_that_are_lost_and_comes_back() -> None:
    contest = Contest()
    for number in range(LOST):
        assert not contest.fallen_back, number
        window(contest, 0.5, 0.1)
    assert contest.fallen_back
    for _ in range(LOST):  # now the control group is the learned algorithm, and the better one
        window(contest, 0.5, 0.1)
    assert not contest.fallen_back
    assert contest.falls == 1


def test_a_window_that_is_won_in_between_begins_the_count_anew() -> None:
    contest = Contest()
    for _ in range(5):
        window(contest, 0.5, 0.1)
        window(contest, 0.5, 0.1)
        window(contest, 0.1, 0.1)
    assert not contest.fallen_back


def test_too_few_requests_say_nothing() -> None:
    contest = Contest()
    for _ in range(10):
        contest.over(0.01, True, False)
        contest.judge()
    assert not contest.fallen_back
