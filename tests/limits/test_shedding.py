"""Load shedding: who goes first, how much, and how it ends."""

from __future__ import annotations

import pytest

from proxy.limits.shedding import CRITICAL, FALL, HIGH, LOW, NORMAL, TOP, Shedder, ShedSpec


def refused(shedder: Shedder, priority: int, of: int = 100) -> int:
    return sum(shedder.refuses(priority) for _ in range(of))


def under(pressure: float, looks: int, spec: ShedSpec | None = None) -> Shedder:
    shedder = Shedder()
    shedder.adopt(spec or ShedSpec(lag=0.1))
    for _ in range(looks):
        shedder.look(0.1 * pressure, 0)
    return shedder


def test_without_pressure_nobody_is_refused() -> None:
    shedder = under(1.0, 100)
    assert [refused(shedder, priority) for priority in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("looks", "shares"), [(5, [0, 0, 0, 50]), (10, [0, 0, 0, 100]), (15, [0, 0, 50, 100]), (100, [0, 95, 100, 100])]
)
def test_low_priorities_go_first_and_critical_never(looks: int, shares: list[int]) -> None:
    shedder = under(1.01, looks)
    found = [refused(shedder, priority) for priority in (CRITICAL, HIGH, NORMAL, LOW)]
    assert found == pytest.approx(shares, abs=2)


def test_more_pressure_is_answered_faster() -> None:
    assert under(1.1, 3).level < under(3.0, 3).level < under(100.0, 3).level <= 3 * 0.4 + 1e-9


def test_it_ends_after_the_pressure() -> None:
    shedder = under(100.0, 100)
    assert shedder.level == TOP
    for _ in range(int(TOP / FALL) + 2):
        shedder.look(0.0, 0)
    assert [refused(shedder, priority) for priority in range(4)] == [0, 0, 0, 0]


def test_memory_is_pressure_too() -> None:
    shedder = under(0.0, 0, ShedSpec(lag=0.0, memory=1000))
    shedder.look(9.0, 1000)
    assert shedder.level == 0.0
    shedder.look(0.0, 1100)
    assert shedder.level > 0.0


def test_a_reload_that_takes_it_away_ends_it() -> None:
    shedder = under(9.0, 9)
    shedder.adopt(None)
    assert refused(shedder, LOW) == 0
    shedder.look(9.0, 0)
    assert shedder.level == 0.0
