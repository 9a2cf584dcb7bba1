"""When a backend may be ejected, and for how long."""

from __future__ import annotations

import pytest

from proxy.upstream.outlier import CONNECT, CONSECUTIVE_5XX, OutlierSpec, ejection_seconds, may_eject

SPEC = OutlierSpec()


@pytest.mark.parametrize(("times", "seconds"), [(0, 30), (1, 60), (9, 300), (50, 300)])
def test_each_ejection_is_longer(times: float, seconds: float) -> None:
    assert ejection_seconds(SPEC, CONSECUTIVE_5XX, times) == seconds


@pytest.mark.parametrize(("times", "seconds"), [(0, 1), (1, 2), (5, 32), (9, 300), (1e9, 300)])
def test_after_a_failed_connect_it_begins_short_and_doubles(times: float, seconds: float) -> None:
    assert ejection_seconds(SPEC, CONNECT, times) == seconds


@pytest.mark.parametrize(
    ("members", "available", "ejected", "allowed"),
    [
        (1, 1, 0, False),  # the only one
        (2, 2, 0, True),  # one of two always may
        (2, 1, 1, False),  # the last one never
        (3, 3, 0, True),
        (3, 2, 1, False),  # one third left would be panic
        (10, 10, 0, True),
        (10, 6, 4, True),
        (10, 5, 5, False),  # max_ejected
        (10, 5, 0, True),  # the first ejection, though active checks found five others down
        (4, 1, 0, False),
    ],
)
def test_ejecting_is_never_the_outage(members: int, available: int, ejected: int, allowed: bool) -> None:
    assert may_eject(SPEC, members, available, ejected, 0.5) is allowed
