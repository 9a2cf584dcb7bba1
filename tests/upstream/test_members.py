"""Members of an upstream: rotation, weights, slow start, the time of the next refresh."""

from __future__ import annotations

from time import monotonic, monotonic_ns

import pytest

from proxy.scoreboard import (
    DOWN,
    DRAIN,
    EJECTED_UNTIL,
    HEALTH,
    MAINT,
    REPORTED_STATE,
    REPORTED_WEIGHT,
    SINCE,
    STATE,
    WEIGHT,
)
from proxy.upstream.members import Members
from proxy.upstream.spec import GroupSpec
from proxy.upstream.weights import LONG
from tests.support.upstreams import backends, members_of

SPEC = GroupSpec("app", (), "rr")


def members(*weights: int) -> Members:
    found = members_of(SPEC, *backends(*weights))
    refresh(found)
    return found


def refresh(found: Members, now: float = 0.0) -> None:
    found.refresh(now or monotonic(), monotonic_ns())


def test_drained_members_and_those_in_maintenance_are_not_in_rotation() -> None:
    found = members(1, 1, 1, 1)
    found.all[0].rows[STATE] = DRAIN
    found.all[1].rows[STATE] = MAINT
    found.all[2].rows[REPORTED_STATE] = DRAIN
    refresh(found)
    assert found.in_rotation == [found.all[3]]


def test_health_is_that_of_checks_and_ejections() -> None:
    found = members(1, 1, 1)
    found.all[0].rows[HEALTH] = DOWN
    found.all[1].rows[EJECTED_UNTIL] = monotonic_ns() + 10**9  # in the supervisor's row
    refresh(found)
    assert found.in_rotation == list(found.all)
    assert [backend.healthy for backend in found.all] == [False, False, True]


def test_weights_of_operators_and_of_the_backends_themselves() -> None:
    found = members(2, 2, 2)
    found.all[0].rows[WEIGHT] = 1 + 6
    found.all[1].rows[REPORTED_WEIGHT] = 1 + 50
    refresh(found)
    assert [backend.weight for backend in found.all] == [6, 1, 2]
    found.all[1].rows[REPORTED_WEIGHT] = 1 + 25
    refresh(found)
    assert [backend.weight for backend in found.all] == [60, 5, 20]
    found.all[0].rows[WEIGHT] = 1  # zero
    refresh(found)
    assert found.all[0].weight == 0


def test_a_backend_that_returns_gets_its_share_slowly() -> None:
    found = members(1, 1)
    backend = found.all[0]
    now = monotonic()
    backend.rows[SINCE] = int((now - 1.0) * 1e9)
    shares = []
    for seconds in (0.0, 8.5, 14.5, 28.0, 30.0):
        refresh(found, now + seconds)
        shares.append(backend.weight / found.all[1].weight)
    assert shares == [0.1, 0.3, 0.5, 0.9, 1.0]


def test_the_first_members_have_their_share_at_once_and_those_that_join_do_not() -> None:
    found = members(1, 1)
    assert [backend.weight for backend in found.all] == [1, 1]
    found.replace([*found.all, *backends(1)])
    refresh(found)
    assert [backend.weight for backend in found.all] == [10, 10, 1]


def test_the_next_refresh_is_the_end_of_an_ejection_or_the_next_step_of_a_slow_start() -> None:
    found, now = members(1, 1), monotonic()
    refresh(found, now)
    assert found.refresh_at == now + LONG
    found.all[0].rows[EJECTED_UNTIL] = monotonic_ns() + 10**9
    refresh(found, now)
    assert found.refresh_at == pytest.approx(now + 1.0, abs=0.1)
    found.all[0].rows[EJECTED_UNTIL] = 0
    found.all[1].rows[SINCE] = int((now - 1.0) * 1e9)
    refresh(found, now)
    assert found.refresh_at == now + 3.0
