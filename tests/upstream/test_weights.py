"""Weights in whole numbers, slow start, and when to look again."""

from __future__ import annotations

import pytest

from proxy.scoreboard import EJECTED_UNTIL, REPORTED_WEIGHT, SINCE
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.weights import LONG, next_refresh, warmth, weights_of

NOW = 1000.0


def backends(*weights: int) -> list[Backend]:
    return [Backend(BackendSpec(f"b{n}:1", f"b{n}", 1, "", weight)) for n, weight in enumerate(weights)]


def test_weights_that_are_whole_stay_as_they_are() -> None:
    assert weights_of(backends(5, 1, 0), NOW, 30.0, 0.1) == [(5, 1), (1, 1), (0, 1)]


def test_parts_of_a_weight_scale_all_of_them() -> None:
    members = backends(1, 1)
    members[0].rows[REPORTED_WEIGHT] = 1 + 50
    assert weights_of(members, NOW, 0.0, 1.0) == [(5, 10), (10, 10)]
    members[0].rows[REPORTED_WEIGHT] = 1 + 33
    assert weights_of(members, NOW, 0.0, 1.0) == [(33, 100), (100, 100)]


def test_what_has_a_weight_never_rounds_to_none() -> None:
    members = backends(1, 0, 1)
    members[0].rows[REPORTED_WEIGHT] = 1 + 1  # 1 % of 1, and of that a tenth
    members[0].rows[SINCE] = int(NOW * 1e9)
    assert weights_of(members, NOW, 30.0, 0.1) == [(1, 100), (0, 100), (100, 100)]


@pytest.mark.parametrize(
    ("seconds", "share"), [(0.0, 0.1), (2.9, 0.1), (6.1, 0.2), (15.0, 0.5), (29.9, 0.9), (30.0, 1.0), (-1.0, 1.0)]
)
def test_slow_start_grows_in_steps(seconds: float, share: float) -> None:
    assert warmth(NOW, NOW + seconds, 30.0, 0.1) == share
    assert warmth(0.0, NOW + seconds, 30.0, 0.1) == 1.0


def test_with_a_floor_of_0_it_has_a_little_all_the_same() -> None:
    """All of an upstream, or of those with a label, may be starting: then there is nobody else."""
    members = backends(1, 100, 0)
    for backend in members:
        backend.rows[SINCE] = int(NOW * 1e9)
    assert weights_of(members, NOW, 30.0, 0.0) == [(1, 100), (100, 100), (0, 100)]


def test_when_to_look_again() -> None:
    members = backends(1, 1)
    now_ns = int(NOW * 1e9)
    assert next_refresh(members, NOW, now_ns, 30.0) == NOW + LONG
    members[0].rows[SINCE] = now_ns
    assert next_refresh(members, NOW, now_ns, 30.0) == NOW + 3.0
    members[1].rows[EJECTED_UNTIL] = now_ns + 10**9
    assert next_refresh(members, NOW, now_ns, 30.0) == pytest.approx(NOW + 1.0)
