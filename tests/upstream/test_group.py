"""Which backends of a group may be picked: health, ejection, panic, drain, weights, slow start."""

from __future__ import annotations

from time import monotonic, monotonic_ns

import pytest

from proxy.balancing.round_robin import RoundRobin
from proxy.deadlines import Sweep
from proxy.runtime import Registry
from proxy.scoreboard import (
    DOWN,
    DRAIN,
    EJECTED_FOR,
    EJECTED_UNTIL,
    HEALTH,
    IN_FLIGHT,
    MAINT,
    REPORTED_STATE,
    REPORTED_WEIGHT,
    ROW,
    SINCE,
    STATE,
    WEIGHT,
    alone,
)
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.group import Group
from proxy.upstream.passive_health import CONNECT, CONSECUTIVE_5XX, OutlierSpec
from proxy.upstream.spec import GroupSpec


def specs(*weights: int) -> tuple[BackendSpec, ...]:
    return tuple(BackendSpec(f"b{n}:1", f"b{n}", 1, "", weight) for n, weight in enumerate(weights))


def registry() -> Registry:
    return Registry(alone(), Sweep())


def group_of(*weights: int, spec: GroupSpec | None = None) -> Group:
    found = registry()
    wanted = spec or GroupSpec("app", (), "rr")
    found.adopt(wanted._replace(backends=specs(*weights)), RoundRobin(), 1024, 10)
    return found.groups["app"]


def names(group: Group) -> list[str]:
    return [backend.name[:2] for backend in group.usable]


def test_all_are_usable_at_first() -> None:
    group = group_of(1, 1, 1)
    assert names(group) == ["b0", "b1", "b2"]
    assert not group.panicking


def test_what_is_down_or_drained_or_in_maintenance_is_not_picked() -> None:
    group = group_of(1, 1, 1, 1, 1, 1, 1)
    group.members[0].rows[HEALTH] = DOWN
    group.members[1].rows[STATE] = DRAIN
    group.members[2].rows[STATE] = MAINT
    group.members[3].rows[REPORTED_STATE] = DRAIN
    group.refresh(monotonic())
    assert names(group) == ["b4", "b5", "b6"]
    assert {group.balancer.pick(None).name for _ in range(9)} == {"b4:1", "b5:1", "b6:1"}


def test_below_the_threshold_health_is_ignored_but_not_drain() -> None:
    group = group_of(1, 1, 1, 1)
    for backend in group.members[:2]:
        backend.rows[HEALTH] = DOWN
    group.members[3].rows[STATE] = DRAIN
    group.refresh(monotonic())
    assert group.panicking
    assert names(group) == ["b0", "b1", "b2"]
    group.members[0].rows[HEALTH] = 0
    group.refresh(monotonic())
    assert not group.panicking
    assert names(group) == ["b0", "b2"]


def test_in_panic_what_refuses_connections_stays_out() -> None:
    group = group_of(1, 1, 1)
    group.members[0].rows[HEALTH] = DOWN
    group.refresh(monotonic())
    group.failed(group.members[1], True, True)
    assert group.panicking
    assert names(group) == ["b0", "b2"]
    group.members[0].rows[EJECTED_UNTIL] = group.members[2].rows[EJECTED_UNTIL] = monotonic_ns() + 10**9
    group.members[0].rows[EJECTED_FOR] = group.members[2].rows[EJECTED_FOR] = CONNECT
    group.refresh(monotonic())
    assert names(group) == ["b0", "b1", "b2"]  # all of them refuse: then all are tried


def test_without_panic_nothing_is_left() -> None:
    group = group_of(1, spec=GroupSpec("app", (), "rr", panic=0.0))
    group.members[0].rows[HEALTH] = DOWN
    group.refresh(monotonic())
    assert names(group) == []
    assert group.balancer.pick(None) is None


def test_five_errors_in_a_row_eject() -> None:
    group = group_of(1, 1, 1)
    backend = group.members[0]
    for _ in range(4):
        group.failed(backend, False, False)
    assert len(group.usable) == 3
    group.failed(backend, False, False)
    assert names(group) == ["b1", "b2"]
    assert group.due <= monotonic() + 30


def test_one_failed_connect_ejects_for_a_short_time() -> None:
    group = group_of(1, 1)
    group.failed(group.members[0], True, True)
    assert names(group) == ["b1"]
    assert 0.5e9 < group.members[0].ejected_until() - monotonic_ns() <= 1e9
    group.failed(group.members[1], True, True)
    assert names(group) == ["b1"]  # the last one stays


def test_what_another_worker_has_ejected_is_ejected_here() -> None:
    group = group_of(1, 1)
    group.members[0].rows[EJECTED_UNTIL] = monotonic_ns() + 10**9  # in the supervisor's row
    group.refresh(monotonic())
    assert names(group) == ["b1"]


def test_an_ejection_ends_and_the_next_is_longer() -> None:
    group = group_of(1, 1, spec=GroupSpec("app", (), "rr", slow_start=0.0, outlier=OutlierSpec(base_ejection=10.0)))
    backend = group.members[0]
    group.eject(backend, CONSECUTIVE_5XX)
    first = backend.ejected_until() - monotonic_ns()
    backend.rows[backend.own + EJECTED_UNTIL] = monotonic_ns() - 1
    group.refresh(monotonic())
    assert names(group) == ["b0", "b1"]
    group.eject(backend, CONSECUTIVE_5XX)
    assert backend.ejected_until() - monotonic_ns() == pytest.approx(2 * first, rel=0.01)
    backend.rows[backend.own + EJECTED_UNTIL] = monotonic_ns() - 100 * 10**9  # long ago: forgiven
    group.eject(backend, CONSECUTIVE_5XX)
    assert backend.ejected_until() - monotonic_ns() == pytest.approx(first, rel=0.01)


def test_passive_health_can_be_off() -> None:
    group = group_of(1, 1, spec=GroupSpec("app", (), "rr", outlier=None))
    for _ in range(100):
        group.failed(group.members[0], True, True)
        group.failed(group.members[0], False, True)
    assert names(group) == ["b0", "b1"]


def test_weights_of_operators_and_of_the_backends_themselves() -> None:
    group = group_of(2, 2, 2)
    group.members[0].rows[WEIGHT] = 1 + 6
    group.members[1].rows[REPORTED_WEIGHT] = 1 + 50
    group.refresh(monotonic())
    assert [backend.weight for backend in group.members] == [6, 1, 2]
    group.members[1].rows[REPORTED_WEIGHT] = 1 + 25
    group.refresh(monotonic())
    assert [backend.weight for backend in group.members] == [60, 5, 20]
    group.members[0].rows[WEIGHT] = 1  # zero
    group.refresh(monotonic())
    assert group.members[0].weight == 0


def test_who_comes_back_gets_its_share_slowly() -> None:
    group = group_of(1, 1)
    backend = group.members[0]
    now = monotonic()
    backend.rows[SINCE] = int((now - 1.0) * 1e9)
    shares = []
    for seconds in (0.0, 8.5, 14.5, 28.0, 30.0):
        group.refresh(now + seconds)
        shares.append(backend.weight / group.members[1].weight)
    assert shares == [0.1, 0.3, 0.5, 0.9, 1.0]


def test_who_is_there_from_the_start_gets_its_share_at_once_and_who_joins_does_not() -> None:
    found = registry()
    found.adopt(GroupSpec("app", specs(1, 1), "rr"), RoundRobin(), 1024, 10)
    group = found.groups["app"]
    assert [backend.weight for backend in group.members] == [1, 1]
    found.adopt(GroupSpec("app", specs(1, 1, 1), "rr"), RoundRobin(), 1024, 10)
    assert [backend.weight for backend in group.members] == [10, 10, 1]


def test_the_least_loaded_that_was_not_tried() -> None:
    group = group_of(1, 2, 1)
    group.members[0].in_flight, group.members[1].in_flight, group.members[2].in_flight = 3, 4, 9
    assert group.first_of(()) is group.members[1]
    assert group.first_of([group.members[1]]) is group.members[0]
    assert group.first_of(group.members) is None
    assert group.another(group.members[:2], None) is group.members[2]


def test_load_is_that_of_all_workers() -> None:
    backend = Backend(BackendSpec("a:1", "a", 1, ""))
    backend.in_flight = 3
    assert backend.load() == 3
    board = alone()
    shared = Backend(backend.spec, board.backend_rows("app", "a:1"), board)
    shared.rows[ROW + IN_FLIGHT] = 2
    assert (shared.load(), shared.in_flight) == (2, 2)


class Fragile(RoundRobin):
    def members(self, listed: object, in_rotation: object, usable: object) -> None:
        raise RuntimeError("no")


def test_an_algorithm_that_fails_to_rebuild_takes_nothing_down(caplog: pytest.LogCaptureFixture) -> None:
    found = registry()
    found.adopt(GroupSpec("app", specs(1, 1), "fragile"), Fragile(), 1024, 10, RoundRobin())
    assert names(found.groups["app"]) == ["b0", "b1"]
    assert "Fragile failed" in caplog.text


def test_the_budget_is_paid_in_by_requests_and_decays() -> None:
    group = group_of(1, 1)
    assert group.tokens == 30.0
    group.tokens = 1000.0
    for _ in range(1000):
        group.tick(monotonic())
    assert group.tokens == pytest.approx(30.0, rel=0.01)  # budget_min for ten seconds
    assert [group.may_retry() for _ in range(40)].count(True) in (29, 30)
