"""finish: the end of an exchange: with a local reply, aborted, or complete.

Law of this file: every exchange passes `finish`, the last stage, exactly once. Before that it has released its
backend: no event of a finished exchange reaches the next one.
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
"""The least status of a server error."""
SAMPLE = 64
"""One in this many requests is sampled for the top talkers."""
JUDGED = frozenset(("connect", "send", "relay"))
"""The stages with failures of the upstream."""
OF_CLIENTS = (CLIENT_GONE, WRITE_TIMEOUT)
"""Failures in those stages that are caused by the client."""


def local_error(x: Exchange, reason: Reason, fields: Fields = ()) -> None:
    """End the request with an error response and further `fields`; or abort the response if it has begun."""
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
    """Send a local reply, and finish. With `close` the connection closes after it."""
    client, reason = x.client, reply.reason
    assert client is not None
    x.reason = reason
    x.status = reason.status
    client.counters.reason(reason.name)
    x.bytes_out = client.local_reply(x, reply, close)
    finish(x)


def abort(x: Exchange, reason: Reason) -> None:
    """End the request of a client that has disconnected."""
    client = x.client
    assert client is not None
    detach(x)
    x.reason = reason
    x.status = x.status or reason.status
    client.last()
    count_cut(x, reason)
    finish(x)


def count_cut(x: Exchange, reason: Reason) -> None:
    """Count the reason of an incomplete response, also if its status is not an error."""
    client = x.client
    assert client is not None
    if x.status < SERVER_ERROR <= reason.status:
        client.counters.broke_off(reason.name)
    else:
        client.counters.reason(reason.name)


def detach(x: Exchange) -> None:
    """Cancel the wait of the exchange, and release its attempts and source; the response is incomplete."""
    wait, x.wait = x.wait, None
    if wait is not None:
        wait.cancel()
    if x.hedge is not None:
        hedge, x.hedge = x.hedge, None
        hedge.cancel()
    x.drop_source()
    cancel(x.attempt)


def finish(x: Exchange) -> None:
    """finish: count, log, and continue with the connection."""
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
    """Sample one request in SAMPLE for the top talkers."""
    client = x.client
    assert client is not None
    client.counters.until_sample = SAMPLE
    if client.counters.talkers is not None:
        client.counters.talkers.take(x, now)


def judged(x: Exchange) -> bool:
    """Whether the result of a request counts for its upstream's breaker and limits."""
    reason = x.reason
    return reason is None or (reason.stage in JUDGED and reason not in OF_CLIENTS)


def outcome_of(x: Exchange) -> int:
    """The outcome of a request for its backend."""
    if x.reason is None:
        return FAILED if x.status >= 500 else ANSWERED
    return FAILED if judged(x) else CANCELLED


def leave_group(x: Exchange, now: float, duration: int) -> None:
    """Free the slot of an exchange in its upstream. `duration` is the histogram cell of its total time."""
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
