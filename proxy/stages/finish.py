"""finish: how an exchange ends: with a reply of the proxy's own, aborted, or complete.

Law of this file: every exchange passes `finish`, the last stage, exactly once. Before that it has let go of its
backend: nothing that belongs to a finished exchange can reach the next one.
"""

from __future__ import annotations

from time import monotonic

from ..balancing.base import ANSWERED, CANCELLED, FAILED
from ..errors import CLIENT_GONE, INTERNAL, WRITE_TIMEOUT, Reason
from ..exchange import Exchange
from ..http.local_replies import Fields, LocalReply, error_reply
from ..http1.codec import ACCEPT
from ..metrics import U_ACTIVE, U_PANICKED, U_STATUSES
from ..upstream.group import Group
from .attempt import cancel, drop

SERVER_ERROR = 500
"""From this status on it is not the client's fault."""
SAMPLE = 64
"""One in this many requests is looked at for the top talkers."""
JUDGED = frozenset(("connect", "send", "relay"))
"""The stages whose failures are the upstream's."""
OF_CLIENTS = (CLIENT_GONE, WRITE_TIMEOUT)
"""Failures of those stages that are the client's all the same."""


def local_error(x: Exchange, reason: Reason, fields: Fields = ()) -> None:
    """Give the request up for a reason: answer with an error, with further `fields`; or cut the response off if the
    client has a part of one."""
    client, plan = x.client, x.plan
    assert client is not None and plan is not None
    detach(x)
    if x.responding:
        x.reason = reason
        count_cut(x, reason)
        client.abort(x)
        finish(x)
        return
    name, accept = plan.settings.via or "qantara", x.head.value(ACCEPT) or b""
    reply = error_reply(reason, name, accept, x.head.request_id().decode("latin-1"), fields)
    local_reply(x, reply, reason.stage == "accept" or reason is INTERNAL)


def local_reply(x: Exchange, reply: LocalReply, close: bool = False) -> None:
    """Answer with a response of the proxy's own, and finish. With `close` the connection closes behind it."""
    client, reason = x.client, reply.reason
    assert client is not None
    x.reason = reason
    x.status = reason.status
    client.counters.reason(reason.name)
    x.bytes_out = client.local_reply(x, reply, close)
    finish(x)


def abort(x: Exchange, reason: Reason) -> None:
    """The client has left: so does the request."""
    client = x.client
    assert client is not None
    detach(x)
    x.reason = reason
    x.status = x.status or reason.status
    client.last()
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
    """Let go of everything that the exchange waits for or reads from; its response is not over."""
    wait, x.wait = x.wait, None
    if wait is not None:
        wait.cancel()
    if x.hedge is not None:
        hedge, x.hedge = x.hedge, None
        hedge.cancel()
    x.drop_source()
    cancel(x.attempt)


def finish(x: Exchange) -> None:
    """finish: count, log, and let the connection go on."""
    client = x.client
    assert client is not None
    now = monotonic()
    if x.attempt.backend is not None:
        drop(x, x.attempt, now, outcome_of(x))
    counters = client.counters
    duration = counters.finished(x.status, now - x.started, x.bytes_in, x.bytes_out)
    if x.group is not None:
        leave_group(x, now, duration)
    counters.until_sample -= 1
    if counters.until_sample == 0:
        sample(x, now)
    if client.log is not None:
        client.log.record(x, now)
    client.finished(x, now)


def sample(x: Exchange, now: float) -> None:
    """Look at one request in SAMPLE for the top talkers."""
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


def leave_group(x: Exchange, now: float, duration: int) -> None:
    """The exchange is over for its upstream: its slot is free. `duration` is the histogram cell of its whole time."""
    group: Group | None = x.group
    assert group is not None
    x.group = None
    group.rows[U_ACTIVE] -= 1
    group.rows[U_STATUSES + x.status // 100] += 1
    stats = group.stats
    stats.finish_seconds.add(duration)
    if x.responding:
        attempt = x.attempt
        picked, connected_at = attempt.picked, attempt.connected_at
        head_at = attempt.head_at or now
        relayed = stats.relay_seconds.observe(head_at - picked)
        if picked < connected_at <= head_at:
            stats.send_seconds.observe(head_at - connected_at)
        else:
            stats.send_seconds.add(relayed)
    if group.overload.breaker is not None and judged(x):
        group.overload.breaker.record(x.started, now, x.status >= 500)
    if x.picker is not None and x.picker.panicking:
        group.rows[U_PANICKED] += 1
    if group.queues.waiting:
        group.queues.wake()
