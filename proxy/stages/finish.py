"""How an exchange ends: answered by the proxy itself, given up, or complete.

Law of this file: every exchange passes `finish`, the last stage, exactly once. Before that it has let go of its
backend: nothing that belongs to a finished exchange can reach the next one.
"""

from __future__ import annotations

import logging
from time import monotonic

from ..balancing.base import ANSWERED, CANCELLED, FAILED, Balancer, Done
from ..errors import CLIENT_GONE, INTERNAL, WRITE_TIMEOUT, Reason
from ..exchange import Exchange
from ..http import local_replies as canned
from ..http1.codec import ACCEPT
from ..metrics import U_ACTIVE, U_PANICKED, U_STATUSES
from ..scoreboard import IN_FLIGHT, MICROSECONDS
from ..upstream.backend import Backend
from ..upstream.group import Group

log = logging.getLogger("qantara")

SERVER_ERROR = 500
"""From this status on it is not the client's fault."""
SAMPLE = 64
"""Every so many requests one is looked at for the top talkers."""
JUDGED = frozenset(("connect", "send", "relay"))
"""The stages whose failures are the upstream's."""
OF_CLIENTS = (CLIENT_GONE, WRITE_TIMEOUT)
"""Failures of those stages that are the client's all the same."""
DONE = Done()
"""What is told of every request that is over."""


def answer(x: Exchange, reason: Reason) -> None:
    """Give the request up for a reason: tell the client if it can still be told, else cut it off."""
    refuse(x, reason, "")


def refuse(x: Exchange, reason: Reason, lines: str) -> None:
    """As `answer`, with header lines that say more."""
    client, plan = x.client, x.plan
    assert client is not None and plan is not None
    detach(x)
    if x.responding:
        x.reason = reason
        x.keep = False
        count_cut(x, reason)
        client.cut(x.head.minor == 0)
        finish(x)
        return
    settle_keep(x)
    if reason.stage == "accept" or reason is INTERNAL:
        x.keep = False
    payload = canned.error(
        reason,
        plan.settings.via or "qantara",
        x.head.value(ACCEPT) or b"",
        x.head.request_id().decode("latin-1"),
        minor=x.head.minor,
        keep=x.keep,
        head_only=x.head_only,
        lines=lines,
    )
    conclude(x, reason, payload)


def respond(x: Exchange, reason: Reason, lines: str, body: bytes) -> None:
    """Answer as a route says. `lines` are header lines."""
    plan = x.plan
    assert plan is not None
    settle_keep(x)
    lines += canned.proxy_status(plan.settings.via or "qantara", reason)
    conclude(
        x,
        reason,
        canned.response(reason.status, lines, body, minor=x.head.minor, keep=x.keep, head_only=x.head_only),
    )


def settle_keep(x: Exchange) -> None:
    """Before a response head: a connection with more of the request to come, or none allowed, closes behind it."""
    client = x.client
    assert client is not None
    if not x.request_done or not client.may_keep:
        x.keep = False


def conclude(x: Exchange, reason: Reason, payload: bytes) -> None:
    """Send a response of the proxy's own, and finish."""
    client = x.client
    assert client is not None
    x.reason = reason
    x.status = reason.status
    x.bytes_out = len(payload)
    client.counters.reason(reason.name)
    client.send(payload)
    finish(x)


def abandon(x: Exchange, reason: Reason) -> None:
    """The client has left: so does the request."""
    client = x.client
    assert client is not None
    detach(x)
    x.reason = reason
    x.status = x.status or reason.status
    x.keep = False
    count_cut(x, reason)
    finish(x)


def count_cut(x: Exchange, reason: Reason) -> None:
    """Count why a response is not complete; an error that its status does not tell is counted as one all the same."""
    client = x.client
    assert client is not None
    if x.status < SERVER_ERROR <= reason.status:
        client.counters.broke_off(reason.name)
    else:
        client.counters.reason(reason.name)


def detach(x: Exchange) -> None:
    """Let go of the upstream side: out of the queue, the connection closed, since its response is not over."""
    if x.waiting:
        x.waiting = False
        if x.backend is not None:
            x.backend.pool.cancel(x)
    if x.queued:
        x.queued = False
        if x.group is not None and x.picker is not None:
            x.group.leave_queue(x, x.picker)
    if x.timer is not None:
        x.timer.cancel()
        x.timer = None
    if x.hedge is not None:
        attempt, x.hedge = x.hedge, None
        attempt.cancel()
    if x.upstream is not None:
        x.upstream.discard()
        x.upstream = None


def drop_backend(x: Exchange, now: float, outcome: int) -> None:
    """The exchange is over for its backend. `outcome` is one of those in balancing/base.py."""
    backend: Backend | None = x.backend
    if backend is not None:
        x.backend = None
        backend.rows[backend.own + IN_FLIGHT] -= 1
        backend.rows[backend.own + MICROSECONDS] += int((now - x.picked) * 1e6)
        balancer: Balancer = x.balancer
        done = DONE
        done.seconds = (x.headed if x.headed > x.picked else now) - x.picked
        done.now = now
        done.outcome = outcome
        done.in_flight = x.beside
        done.report = x.report if x.report is None or still_true(x, now) else None
        try:
            balancer.released(backend, done)
        except Exception:  # a user's algorithm must not keep a request from ending
            if x.picker is not None:
                x.picker.balancer_failed(balancer)


def still_true(x: Exchange, now: float) -> bool:
    """Whether what the backend has said in the response head is not too old after the rest of it."""
    reports = x.group.reports if x.group is not None else None
    return x.headed == 0.0 or reports is None or now - x.headed <= reports.spec.max_age


def finish(x: Exchange) -> None:
    """finish: count, log, and let the connection go on."""
    client = x.client
    assert client is not None
    now = monotonic()
    if x.backend is not None:
        drop_backend(x, now, outcome_of(x))
    if x.group is not None:
        leave_group(x, now)
    counters = client.counters
    counters.finished(x.status, now - x.started, x.bytes_in, x.bytes_out)
    counters.until_sample -= 1
    if counters.until_sample == 0:
        sample(x, now)
    if client.log is not None:
        client.log.record(x, now)
    client.finished(x, x.keep, now)


def sample(x: Exchange, now: float) -> None:
    """Every so often: who asks for what."""
    client = x.client
    assert client is not None
    client.counters.until_sample = SAMPLE
    if client.counters.talkers is not None:
        client.counters.talkers.take(x, now)


def judged(x: Exchange) -> bool:
    """Whether what became of a request says something about its upstream."""
    reason = x.reason
    return reason is None or (reason.stage in JUDGED and reason not in OF_CLIENTS)


def outcome_of(x: Exchange) -> int:
    """How a request ended for its backend."""
    if x.reason is None:
        return FAILED if x.status >= 500 else ANSWERED
    return FAILED if judged(x) else CANCELLED


def leave_group(x: Exchange, now: float) -> None:
    """The exchange is over for its upstream, and makes room for one that waits."""
    group: Group | None = x.group
    assert group is not None
    x.group = None
    group.rows[U_ACTIVE] -= 1
    group.rows[U_STATUSES + x.status // 100] += 1
    group.finish_seconds.observe(now - x.started)
    if x.responding:
        headed = x.headed or now
        group.relay_seconds.observe(headed - x.picked)
        group.send_seconds.observe(headed - (x.reached if x.picked < x.reached <= headed else x.picked))
    if group.breaker is not None and judged(x):
        group.breaker.record(x.started, now, x.status >= 500)
    if x.picker is not None and x.picker.panicking:
        group.rows[U_PANICKED] += 1
    if group.waiting:
        group.wake()
