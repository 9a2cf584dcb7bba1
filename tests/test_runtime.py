"""What lives on when a plan is swapped, and what leaves."""

from __future__ import annotations

from proxy.balancing.round_robin import RoundRobin
from proxy.deadlines import Sweep
from proxy.runtime import Registry
from proxy.scoreboard import alone
from proxy.upstream.backend import BackendSpec
from proxy.upstream.spec import GroupSpec, PoolSettings

A, B, C = (BackendSpec(f"{name}:1", name, 1, "") for name in "abc")


def registry() -> Registry:
    return Registry(alone(), Sweep())


def adopt(found: Registry, *backends: BackendSpec, balance: str = "rr", pool: PoolSettings | None = None) -> None:
    spec = GroupSpec("app", backends, balance, pool or PoolSettings())
    found.adopt(spec, RoundRobin(), 1024, 10)


def test_a_backend_is_the_same_as_long_as_its_address_stays() -> None:
    found = registry()
    adopt(found, A, B)
    before = found.groups["app"].members.all
    before[1].in_flight = 5
    pool = before[1].pool
    adopt(found, C, B._replace(weight=7), pool=PoolSettings(max=3))
    after = found.groups["app"].members.all
    assert after[1] is before[1]
    assert (after[1].pool, after[1].in_flight, after[1].spec.weight) == (pool, 5, 7)
    assert pool.max == 3
    assert before[0].pool.retired
    assert not after[0].pool.retired


def test_the_algorithm_is_kept_until_its_description_changes() -> None:
    found = registry()
    adopt(found, A, B)
    first = found.groups["app"].balancer
    adopt(found, A)
    assert found.groups["app"].balancer is first
    adopt(found, A, balance="other")
    assert found.groups["app"].balancer is not first


def test_a_group_that_is_no_more_is_forgotten_and_its_pools_retire() -> None:
    found = registry()
    adopt(found, A)
    pool = found.groups["app"].members.all[0].pool
    found.keep_only(["other"])
    assert (found.groups, pool.retired) == ({}, True)


def test_rows_are_free_when_the_last_request_has_gone() -> None:
    found = registry()
    adopt(found, A, B)
    leaving = found.groups["app"].members.all[0]
    leaving.in_flight = 1
    adopt(found, B)
    found.tick(1.0)
    assert "app\na:1" in found.board.backends.rows
    leaving.in_flight = 0
    found.tick(2.0)
    assert list(found.board.backends.rows) == ["app\nb:1"]


def test_a_backend_that_comes_back_in_time_keeps_its_row() -> None:
    found = registry()
    adopt(found, A, B)
    adopt(found, B)
    adopt(found, A, B)
    found.tick(1.0)
    assert "app\na:1" in found.board.backends.rows


def test_members_may_change_without_a_plan() -> None:
    found = registry()
    adopt(found, A)
    found.set_members("app", [A, C])
    assert [backend.name for backend in found.groups["app"].usable] == ["a:1", "c:1"]
    assert found.groups["app"].members.all[1].pool.head_size == 1024
