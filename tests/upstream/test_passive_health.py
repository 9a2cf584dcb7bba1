"""Passive health: failures in a row eject a backend, as far as the rules allow."""

from __future__ import annotations

from time import monotonic_ns

import pytest

from proxy.scoreboard import DRAIN, EJECTED_FOR, EJECTED_UNTIL, EJECTIONS, STATE, alone
from proxy.upstream.outlier import CONNECT, CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, OutlierSpec
from proxy.upstream.passive_health import PassiveHealth
from proxy.upstream.spec import GroupSpec
from tests.support.upstreams import backends, members_of


class Judged:
    """Three members of a group, and the refreshes that their ejections lead to."""

    def __init__(self, spec: OutlierSpec | None, count: int = 3) -> None:
        self.board = alone()
        self.members = members_of(GroupSpec("app", (), "rr"), *backends(*[1] * count, board=self.board))
        self.refreshed: list[float] = []
        self.health = PassiveHealth(self.members, self.board, self.refreshed.append)
        self.health.spec = spec

    def ejected(self) -> list[int]:
        now_ns = monotonic_ns()
        return [n for n, backend in enumerate(self.members.all) if backend.ejected_until() > now_ns]


def test_five_errors_in_a_row_eject() -> None:
    there = Judged(OutlierSpec())
    backend = there.members.all[0]
    for _ in range(4):
        there.health.failed(backend, False, False)
    assert (there.ejected(), there.refreshed) == ([], [])
    epoch = there.board.epoch()
    there.health.failed(backend, False, False)
    assert there.ejected() == [0]
    assert len(there.refreshed) == 1
    assert there.board.epoch() != epoch, "other workers read it at their next tick"
    assert backend.rows[backend.own + EJECTED_FOR] == CONSECUTIVE_5XX
    assert backend.rows[backend.own + EJECTIONS] == 1
    assert backend.errors_in_row == 0


def test_gateway_failures_have_a_threshold_of_their_own() -> None:
    there = Judged(OutlierSpec(consecutive_gateway=2))
    backend = there.members.all[1]
    there.health.failed(backend, False, True)
    there.health.failed(backend, False, False)
    assert there.ejected() == []
    there.health.failed(backend, False, True)
    assert there.ejected() == [1]
    assert backend.rows[backend.own + EJECTED_FOR] == CONSECUTIVE_GATEWAY


def test_one_failed_connect_ejects_for_a_short_time_but_never_the_last() -> None:
    there = Judged(OutlierSpec(), 2)
    first, second = there.members.all
    there.health.failed(first, True, True)
    assert 0.5e9 < first.ejected_until() - monotonic_ns() <= 1e9
    there.health.failed(second, True, True)
    assert there.ejected() == [0]


def test_a_refused_connection_counts_more_than_the_bound_on_ejections() -> None:
    """A backend that refuses connections serves nothing, ejected or not."""
    there = Judged(OutlierSpec())
    for backend in there.members.all:
        there.health.eject(backend, CONSECUTIVE_5XX)
    assert there.ejected() == [0]
    there.health.eject(there.members.all[1], CONNECT)
    assert there.ejected() == [0, 1]


def test_a_backend_out_of_rotation_is_not_ejected() -> None:
    there = Judged(OutlierSpec())
    there.members.all[0].rows[STATE] = DRAIN
    there.health.failed(there.members.all[0], True, True)
    assert there.ejected() == []


def test_an_ejected_backend_is_not_ejected_again() -> None:
    there = Judged(OutlierSpec())
    backend = there.members.all[0]
    there.health.eject(backend, CONSECUTIVE_5XX)
    until = backend.ejected_until()
    there.health.eject(backend, CONSECUTIVE_5XX)
    assert (backend.ejected_until(), backend.times_ejected) == (until, 1.0)


def test_the_next_ejection_is_longer_unless_the_last_is_long_ago() -> None:
    there = Judged(OutlierSpec(base_ejection=10.0))
    backend = there.members.all[0]
    there.health.eject(backend, CONSECUTIVE_5XX)
    first = backend.ejected_until() - monotonic_ns()
    backend.rows[backend.own + EJECTED_UNTIL] = monotonic_ns() - 1
    there.health.eject(backend, CONSECUTIVE_5XX)
    assert backend.ejected_until() - monotonic_ns() == pytest.approx(2 * first, rel=0.01)
    backend.rows[backend.own + EJECTED_UNTIL] = monotonic_ns() - 100 * 10**9
    there.health.eject(backend, CONSECUTIVE_5XX)
    assert backend.ejected_until() - monotonic_ns() == pytest.approx(first, rel=0.01)


@pytest.mark.parametrize(
    "spec", [None, OutlierSpec(consecutive_5xx=0, consecutive_gateway=0, connect_failures=0)], ids=["off", "zeros"]
)
def test_it_can_be_off(spec: OutlierSpec | None) -> None:
    there = Judged(spec)
    backend = there.members.all[0]
    for _ in range(100):
        there.health.failed(backend, True, True)
        there.health.failed(backend, False, True)
    assert there.ejected() == []
    assert (backend.connects_in_row, backend.errors_in_row) == (100, 100)
