"""Limits of an upstream: in flight in all, per backend, adaptive; the share of a worker; state across reloads."""

from __future__ import annotations

from time import monotonic

from proxy.metrics import U_ACTIVE, U_CEILING, U_QUEUE_LENGTH
from proxy.scoreboard import IN_FLIGHT, ROW, UPSTREAM_ROW, Scoreboard
from proxy.upstream.breaker import BreakerSpec
from proxy.upstream.concurrency import ConcurrencySpec
from proxy.upstream.overload import NO_LIMIT, Overload
from proxy.upstream.spec import LimitSpec
from tests.support.upstreams import backends, stats_of, two_workers


def overload_of(
    limits: LimitSpec, board: Scoreboard | None = None, concurrency: ConcurrencySpec | None = None
) -> Overload:
    found = Overload(stats_of(board))
    found.adopt(limits, None, concurrency)
    return found


def other(overload: Overload, cell: int, value: int) -> None:
    """Write a cell of the other worker."""
    overload.stats.all_rows[2 * UPSTREAM_ROW + cell] = value


def test_without_limits_there_is_always_room() -> None:
    overload = overload_of(LimitSpec(requests=0, requests_per_backend=0))
    (backend,) = backends(1)
    backend.in_flight = overload.rows[U_ACTIVE] = 1_000_000
    assert not overload.near_limit(backend)
    assert overload.below_limit(backend)
    assert overload.has_room(1)


def test_requests_per_backend_are_counted_over_all_workers() -> None:
    board = two_workers()
    overload = overload_of(LimitSpec(requests_per_backend=4), board)
    (backend,) = backends(1, board=board)
    backend.in_flight = 2
    assert overload.below_limit(backend)
    backend.rows[2 * ROW + IN_FLIGHT] = 2
    assert not overload.below_limit(backend)
    assert not overload.near_limit(backend), "not before a tick has seen the other worker"
    overload.tick(monotonic(), 0.0)
    assert overload.near_limit(backend)


def test_requests_in_flight_are_those_of_all_workers_that_do_not_wait() -> None:
    overload = overload_of(LimitSpec(requests=5), two_workers())
    overload.rows[U_ACTIVE], overload.rows[U_QUEUE_LENGTH] = 3, 1
    other(overload, U_ACTIVE, 4)
    other(overload, U_QUEUE_LENGTH, 2)
    assert overload.has_room(1)
    assert not overload.has_room(2)
    (backend,) = backends(1)
    assert overload.near_limit(backend)


def test_the_adaptive_limit_is_that_of_this_worker() -> None:
    overload = overload_of(LimitSpec(), two_workers(), ConcurrencySpec(min=3))
    assert overload.adaptive_limit == overload.rows[U_CEILING] == 3, "measuring the baseline"
    other(overload, U_ACTIVE, 100)
    overload.rows[U_ACTIVE], overload.rows[U_QUEUE_LENGTH] = 3, 1
    assert overload.has_room(1)
    assert not overload.has_room(2)
    (backend,) = backends(1)
    assert not overload.near_limit(backend)
    overload.rows[U_ACTIVE] = 4
    assert overload.near_limit(backend)
    overload.adopt(LimitSpec(), None, None)
    assert (overload.adaptive_limit, overload.rows[U_CEILING]) == (NO_LIMIT, 0)


def test_a_tick_takes_over_the_adaptive_limit() -> None:
    overload = overload_of(LimitSpec(), concurrency=ConcurrencySpec(min=3))
    assert overload.gradient is not None
    now = monotonic()
    for tick in range(30):
        overload.tick(now + tick / 10, 0.0)
    assert overload.adaptive_limit == overload.rows[U_CEILING] == overload.gradient.allowed == 20


def test_a_worker_keeps_to_its_share_while_requests_wait_in_another() -> None:
    board = two_workers()
    overload = overload_of(LimitSpec(requests_per_backend=5), board)
    (backend,) = backends(1, board=board)
    backend.in_flight = 2
    overload.rows[U_QUEUE_LENGTH] = 7
    overload.tick(monotonic(), 0.0)
    assert (overload.shared, overload.local_share) == (True, 5), "its own waiting requests do not count"
    other(overload, U_QUEUE_LENGTH, 1)
    overload.tick(monotonic(), 0.0)
    assert overload.local_share == 2
    assert not overload.below_limit(backend)
    other(overload, U_QUEUE_LENGTH, 0)
    overload.tick(monotonic(), 0.0)
    assert overload.local_share == 5


def test_the_share_is_never_nothing() -> None:
    overload = overload_of(LimitSpec(requests_per_backend=1), two_workers())
    other(overload, U_QUEUE_LENGTH, 1)
    overload.tick(monotonic(), 0.0)
    assert overload.local_share == 1


def test_state_is_kept_while_its_settings_stay_equal() -> None:
    overload = Overload(stats_of())
    overload.adopt(LimitSpec(), BreakerSpec(), ConcurrencySpec())
    breaker, gradient = overload.breaker, overload.gradient
    assert breaker is not None
    assert gradient is not None
    overload.adopt(LimitSpec(requests=9), BreakerSpec(), ConcurrencySpec())
    assert (overload.breaker, overload.gradient, overload.max_requests) == (breaker, gradient, 9)
    overload.adopt(LimitSpec(), BreakerSpec(open=1.0), ConcurrencySpec(min=4))
    assert overload.breaker is not breaker
    assert overload.gradient is not gradient
    overload.adopt(LimitSpec(), None, None)
    assert overload.breaker is None
    assert overload.gradient is None


def test_a_breaker_that_another_worker_has_opened_is_open_after_a_refresh() -> None:
    board = two_workers()
    overload = Overload(stats_of(board))
    overload.adopt(LimitSpec(), BreakerSpec(), None)
    assert overload.breaker is not None
    board.slot = 2
    there = Overload(stats_of(board))
    there.adopt(LimitSpec(), BreakerSpec(requests=1), None)
    assert there.breaker is not None
    now = monotonic()
    there.breaker.record(now, now, True)
    assert not overload.breaker.opened
    overload.refresh(now)
    assert overload.breaker.opened
