"""Rows of checks, and what backends say of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.scoreboard import DRAIN, MAINT, READY
from proxy.upstream.health import HealthSpec, Report, Streak, parse_report

SPEC = HealthSpec(fall=3, rise=2)


def after(checks: str, spec: HealthSpec = SPEC) -> tuple[bool, bool]:
    """Whether it is up and whether that is open, after good (+) and bad (-) checks."""
    streak = Streak(spec)
    for check in checks:
        streak.add(spec, check == "+")
    return streak.up, streak.open(spec)


@pytest.mark.parametrize(
    ("checks", "state"),
    [
        ("", (True, False)),
        ("+", (True, False)),
        ("-", (True, True)),
        ("--", (True, True)),
        ("---", (False, False)),
        ("--+--", (True, True)),
        ("---+", (False, True)),
        ("---++", (True, False)),
        ("---+-+", (False, True)),
    ],
)
def test_a_state_changes_after_checks_in_a_row(checks: str, state: tuple[bool, bool]) -> None:
    assert after(checks) == state


def test_the_first_check_suffices_to_come_up() -> None:
    down = SPEC._replace(initial_up=False)
    assert after("", down) == (False, False)
    assert after("+", down) == (True, False)
    assert after("-+", down) == (False, True)


@given(st.text("+-"))
def test_a_change_is_told_when_it_happens(checks: str) -> None:
    streak = Streak(SPEC)
    for check in checks:
        before = streak.up
        assert streak.add(SPEC, check == "+") is (streak.up != before)


@pytest.mark.parametrize(
    ("text", "report"),
    [
        ("ready", Report(READY, None)),
        ("drain", Report(DRAIN, None)),
        (" MAINT ", Report(MAINT, None)),
        ("50%", Report(READY, 50)),
        ("drain, 50%", Report(DRAIN, 50)),
        ("up 0%", Report(READY, 0)),
        ("stopped", Report(MAINT, None)),
        ("", None),
        ("999%", None),
        ("-1%", None),
        ("dr\x00ain", None),
        ("ready; drain", None),
    ],
)
def test_what_a_backend_says_of_itself(text: str, report: Report | None) -> None:
    assert parse_report(text) == report
