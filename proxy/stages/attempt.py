"""How an attempt at a backend begins, is judged and ends: one function each, for first tries, retries and hedges alike.

Law of this file: what is counted for a backend is counted here and nowhere else. A balancer that raises keeps no
request from going on: its spare takes over.
"""

from __future__ import annotations

from ..balancing.base import Balancer, Done
from ..deadlines import NEVER
from ..errors import CONNECT_LIMIT, POOL_FULL, Reason
from ..exchange import Attempt, Exchange
from ..scoreboard import (
    FAILURES,
    GATEWAY_ERRORS,
    IN_FLIGHT,
    MICROSECONDS,
    REQUESTS,
    RESPONSES,
    SERVER_ERRORS,
)
from ..upstream.backend import Backend
from ..upstream.pool import Pool

GATEWAY_STATUSES = frozenset((502, 503, 504))
"""The statuses of gateways: bad gateway, unavailable, gateway time-out (RFC 9110 15.6.3 to 15.6.5)."""
DONE = Done()
"""The reused argument of `Balancer.released`, for each attempt that is over."""


def next_attempt(x: Exchange) -> Attempt:
    """Begin the next attempt of an exchange, without the edits of the last response."""
    route = x.route
    assert route is not None
    x.response_edits = route.response_edits
    attempt = Attempt(x)
    attempt.queued_for = x.attempt.queued_for
    x.attempt = attempt
    return attempt


def begin(x: Exchange, attempt: Attempt, backend: Backend, balancer: Balancer, now: float) -> None:
    """Assign the request to this backend at time `now`."""
    backend.rows[backend.own + REQUESTS] += 1
    backend.rows[backend.own + IN_FLIGHT] += 1
    attempt.in_flight_at_pick = backend.load()
    attempt.picked = now
    attempt.backend = backend
    attempt.backend_name = backend.name
    attempt.balancer = balancer
    attempt.request_done = x.request_done
    try:
        balancer.assigned(backend)
    except Exception:
        if x.picker is not None:
            attempt.balancer = x.picker.balancer_failed(balancer)


def wait_for_connection(attempt: Attempt, fresh: bool) -> None:
    """No connection is idle: wait for one, a new one if `fresh`."""
    backend = attempt.backend
    assert backend is not None
    pool: Pool = backend.pool
    attempt.connected_at = NEVER
    if pool.full():
        attempt.connect_failed(POOL_FULL)
    else:
        attempt.wait = pool.wait(attempt, fresh)


def judge(x: Exchange, attempt: Attempt, status: int) -> None:
    """Count the status of a response, also for passive health."""
    backend = attempt.backend
    assert backend is not None
    backend.rows[backend.own + RESPONSES] += 1
    if status < 500:
        backend.errors_in_row = backend.gateway_in_row = backend.connects_in_row = 0
        return
    backend.count(SERVER_ERRORS)
    gateway = status in GATEWAY_STATUSES
    if gateway:
        backend.count(GATEWAY_ERRORS)
    if x.group is not None:
        x.group.passive_health.failed(backend, False, gateway)


def judge_failure(x: Exchange, attempt: Attempt, connect: bool) -> None:
    """Count a failed connect (`connect`), or a missing response."""
    backend = attempt.backend
    if backend is not None:
        backend.count(FAILURES)
        if x.group is not None:
            x.group.passive_health.failed(backend, connect, True)


def blames_backend(reason: Reason) -> bool:
    """Whether a failed connect is the backend's fault, and not a limit of this machine."""
    return reason.retryable and reason is not CONNECT_LIMIT


def drop(x: Exchange, attempt: Attempt, now: float, outcome: int) -> None:
    """The attempt is over for its backend. `outcome` is one of those in balancing/base.py."""
    backend = attempt.backend
    if backend is None:
        return
    attempt.backend = None
    backend.rows[backend.own + IN_FLIGHT] -= 1
    backend.rows[backend.own + MICROSECONDS] += int((now - attempt.picked) * 1e6)
    balancer: Balancer = attempt.balancer
    done = DONE
    done.seconds = (attempt.head_at if attempt.head_at > attempt.picked else now) - attempt.picked
    done.now = now
    done.outcome = outcome
    done.in_flight = attempt.in_flight_at_pick
    report = attempt.report
    done.report = report if report is None or still_true(x, attempt, now) else None
    try:
        balancer.released(backend, done)
    except Exception:  # a user's algorithm must not keep a request from ending
        if x.picker is not None:
            x.picker.balancer_failed(balancer)


def still_true(x: Exchange, attempt: Attempt, now: float) -> bool:
    """Whether the load report in the response head is not too old after the rest of the response."""
    reports = x.group.reports if x.group is not None else None
    return attempt.head_at == 0.0 or reports is None or now - attempt.head_at <= reports.spec.max_age


def cancel(attempt: Attempt) -> None:
    """Release the connection of an attempt, or cancel the wait for one."""
    wait, attempt.wait = attempt.wait, None
    if wait is not None:
        wait.cancel()
    upstream, attempt.upstream = attempt.upstream, None
    if upstream is not None:
        upstream.discard()
