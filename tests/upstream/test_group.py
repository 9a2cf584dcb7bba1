"""A group as a whole: its parts work together, and what stays across reloads. Each part has tests of its own."""

from __future__ import annotations

from time import monotonic, monotonic_ns

import pytest

from proxy.balancing.power_of_two import PowerOfTwo
from proxy.balancing.round_robin import RoundRobin
from proxy.deadlines import Sweep
from proxy.runtime import Registry
from proxy.scoreboard import DOWN, DRAIN, EJECTED_FOR, EJECTED_UNTIL, HEALTH, MAINT, REPORTED_STATE, STATE, alone
from proxy.upstream.backend import BackendSpec
from proxy.upstream.group import Group
from proxy.upstream.hedge import HedgeSpec
from proxy.upstream.load.sources import ReportSpec
from proxy.upstream.outlier import CONNECT
from proxy.upstream.picker import Selector
from proxy.upstream.ports import Requester
from proxy.upstream.retry import RetrySpec
from proxy.upstream.spec import GroupSpec, LimitSpec

CANARY = Selector((("version", "canary"),))
SPEC = GroupSpec("app", (), "rr")


def specs(*weights: int) -> tuple[BackendSpec, ...]:
    return tuple(BackendSpec(f"b{n}:1", f"b{n}", 1, "", weight) for n, weight in enumerate(weights))


def registry() -> Registry:
    return Registry(alone(), Sweep())


def group_of(*weights: int, spec: GroupSpec = SPEC) -> Group:
    found = registry()
    found.adopt(spec._replace(backends=specs(*weights)), RoundRobin(), 1024, 10)
    return found.groups["app"]


def names(group: Group) -> list[str]:
    return [backend.name[:2] for backend in group.usable]


# --- which backends are usable ----------------------------------------------------------------------------------------


def test_all_are_usable_at_first() -> None:
    group = group_of(1, 1, 1)
    assert names(group) == ["b0", "b1", "b2"]
    assert not group.panicking


def test_what_is_down_or_drained_or_in_maintenance_is_not_picked() -> None:
    group = group_of(1, 1, 1, 1, 1, 1, 1)
    members = group.members.all
    members[0].rows[HEALTH] = DOWN
    members[1].rows[STATE] = DRAIN
    members[2].rows[STATE] = MAINT
    members[3].rows[REPORTED_STATE] = DRAIN
    group.refresh(monotonic())
    assert names(group) == ["b4", "b5", "b6"]
    assert {group.balancer.pick(None).name for _ in range(9)} == {"b4:1", "b5:1", "b6:1"}


def test_below_the_threshold_health_is_ignored_but_not_drain() -> None:
    group = group_of(1, 1, 1, 1)
    for backend in group.members.all[:2]:
        backend.rows[HEALTH] = DOWN
    group.members.all[3].rows[STATE] = DRAIN
    group.refresh(monotonic())
    assert group.panicking
    assert names(group) == ["b0", "b1", "b2"]
    group.members.all[0].rows[HEALTH] = 0
    group.refresh(monotonic())
    assert not group.panicking
    assert names(group) == ["b0", "b2"]


def test_in_panic_what_refuses_connections_stays_out() -> None:
    group = group_of(1, 1, 1)
    first, second, third = group.members.all
    first.rows[HEALTH] = DOWN
    group.refresh(monotonic())
    group.passive_health.failed(second, True, True)
    assert group.panicking
    assert names(group) == ["b0", "b2"]
    first.rows[EJECTED_UNTIL] = third.rows[EJECTED_UNTIL] = monotonic_ns() + 10**9
    first.rows[EJECTED_FOR] = third.rows[EJECTED_FOR] = CONNECT
    group.refresh(monotonic())
    assert names(group) == ["b0", "b1", "b2"]  # all of them refuse: then all are tried


def test_without_panic_nothing_is_left() -> None:
    group = group_of(1, spec=SPEC._replace(panic=0.0))
    group.members.all[0].rows[HEALTH] = DOWN
    group.refresh(monotonic())
    assert names(group) == []
    assert group.balancer.pick(None) is None


def test_an_ejection_takes_effect_at_once_and_ends_with_a_refresh() -> None:
    group = group_of(1, 1, spec=SPEC._replace(slow_start=0.0))
    backend = group.members.all[0]
    group.passive_health.failed(backend, True, True)
    assert names(group) == ["b1"]
    assert group.members.refresh_at <= monotonic() + 1.0
    backend.rows[backend.own + EJECTED_UNTIL] = monotonic_ns() - 1
    group.refresh(monotonic())
    assert names(group) == ["b0", "b1"]


def test_without_a_description_of_outliers_none_is_ejected() -> None:
    group = group_of(1, 1, spec=SPEC._replace(outlier=None))
    for _ in range(100):
        group.passive_health.failed(group.members.all[0], True, True)
    assert names(group) == ["b0", "b1"]


def test_the_least_loaded_that_was_not_tried() -> None:
    group = group_of(1, 2, 1)
    first, second, third = group.members.all
    first.in_flight, second.in_flight, third.in_flight = 3, 4, 9
    assert group.first_of(()) is second
    assert group.first_of([second]) is first
    assert group.first_of(group.members.all) is None
    assert group.another(group.members.all[:2], None) is third


class Fragile(RoundRobin):
    def members(self, listed: object, in_rotation: object, usable: object) -> None:
        raise RuntimeError("no")


def test_an_algorithm_that_fails_to_rebuild_takes_nothing_down(caplog: pytest.LogCaptureFixture) -> None:
    found = registry()
    found.adopt(SPEC._replace(backends=specs(1, 1), balance="fragile"), Fragile(), 1024, 10, RoundRobin())
    assert names(found.groups["app"]) == ["b0", "b1"]
    assert "Fragile failed" in caplog.text


# --- reloads ----------------------------------------------------------------------------------------------------------


def test_a_reload_reaches_every_part() -> None:
    found = registry()
    spec = SPEC._replace(backends=specs(1, 1))
    found.adopt(spec, RoundRobin(), 1024, 10)
    group = found.groups["app"]
    assert group.retry_budget.tokens == 30.0
    more = spec._replace(
        limits=LimitSpec(requests=9, queue=3, queue_timeout=0.5),
        retry=RetrySpec(budget=0.5, hedge=HedgeSpec(delay=0.1)),
        panic=0.0,
        outlier=None,
        reports=ReportSpec(),
    )
    group.retry_budget.tokens = 5.0
    found.adopt(more, RoundRobin(), 1024, 10)
    assert (group.overload.max_requests, group.queue.max_length, group.queues.timeout) == (9, 3, 0.5)
    assert (group.retry_budget.per_request, group.retry_budget.tokens) == (0.5, 5.0)
    assert (group.members.panic, group.passive_health.spec) == (0.0, None)
    hedger, reports = group.hedger, group.reports
    assert hedger is not None
    assert reports is not None
    found.adopt(more._replace(panic=0.2), RoundRobin(), 1024, 10)
    assert (group.hedger, group.reports) == (hedger, reports)
    found.adopt(spec, RoundRobin(), 1024, 10)
    assert (group.hedger, group.reports) == (None, None)


def test_subsets_that_no_route_names_are_forgotten_a_reload_later() -> None:
    """Requests of the plan before may still be retried there."""
    found = registry()

    def adopt(*selectors: Selector) -> Group:
        subsets = {selector: (RoundRobin(), PowerOfTwo()) for selector in selectors}
        found.adopt(SPEC._replace(backends=specs(1, 1)), RoundRobin(), 1024, 10, PowerOfTwo(), subsets)
        return found.groups["app"]

    group = adopt(CANARY)
    picker = group.subset(CANARY)
    assert adopt().subsets == {CANARY: picker}
    assert picker.balancer.pick(None) in group.members.all
    other = CANARY._replace(any_else=False)
    assert adopt(other).subsets.keys() == {other}
    assert group.pickers == group.queues.pickers == [group, group.subset(other)]
    adopt()
    waiting, now = Requester(), monotonic()
    group.queues.enqueue(waiting, group.subset(other), 0, now, now)
    assert adopt().subsets.keys() == {other}  # a request waits there
    group.queues.leave(waiting, group.subset(other))
    assert adopt().subsets == {}


# --- ticks ------------------------------------------------------------------------------------------------------------


def test_a_tick_reaches_every_part() -> None:
    group = group_of(1, 1, spec=SPEC._replace(limits=LimitSpec(requests_per_backend=4, queue_timeout=1.0)))
    failed: list[str] = []

    class Waits(Requester):
        def connect_failed(self, reason: object) -> None:
            failed.append(str(reason))

    now = monotonic()
    group.queues.enqueue(Waits(), group, 0, now - 2.0, now)
    group.retry_budget.tokens = 1000.0
    group.tick(now)
    assert len(failed) == 1
    assert group.retry_budget.tokens < 1000.0
