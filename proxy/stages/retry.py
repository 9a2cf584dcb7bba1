"""Retries: whether a failed request goes to another backend, and when.

Law of this file: the slow path only. A request that may have had an effect is not sent again, unless its method is
idempotent or the configuration allows it; none is once the client has a byte of a response, or beyond the budget. Each
attempt is at a backend that has not failed this request yet.
"""

from __future__ import annotations

import asyncio
import logging
import time
from time import monotonic

from ..balancing.base import FAILED
from ..errors import INTERNAL
from ..exchange import Exchange
from ..http1.codec import ResponseHead
from ..metrics import U_RETRIES, U_RETRIES_REFUSED
from ..upstream.retry import backoff, retry_after
from .attempt import drop
from .finish import local_error

log = logging.getLogger("qantara")


def resendable(x: Exchange) -> bool:
    """Whether a request that was sent may be sent again: its method allows it, it is completely buffered, and the
    client has no byte of a response, not even a 1xx."""
    group = x.group
    assert group is not None
    return not x.interim_sent and x.replayable and (x.head.idempotent or group.spec.retry.non_idempotent)


def may_resend(x: Exchange) -> bool:
    """Whether a request of this method may be sent again, so that it is buffered."""
    group = x.group
    assert group is not None
    return bool(x.head.idempotent or group.spec.retry.non_idempotent)


def retry(x: Exchange, pause: float = 0.0, unsent: bool = False) -> bool:
    """Retry the request at another backend after the back-off, at least `pause` seconds. False if no retry is allowed;
    then nothing has changed.

    If the first attempt was `unsent`, there is no back-off: the connect has failed, and another backend is independent.
    """
    group, attempt = x.group, x.attempt
    assert group is not None and attempt.backend is not None
    spec = group.spec.retry
    tried = len(x.tried) if x.tried is not None else 0
    if tried >= spec.attempts:
        return False
    now = monotonic()
    wait = 0.0 if unsent and tried == 0 else max(pause, backoff(spec, tried + 1))
    if now + wait > x.started + spec.deadline or not another_left(x):
        return False
    if not group.retry_budget.withdraw():
        group.stats.count(U_RETRIES_REFUSED)
        return False
    if x.tried is None:
        x.tried = []
    x.tried.append(attempt.backend)
    x.attempted = [*(x.attempted or ()), attempt.backend_name]
    group.stats.count(U_RETRIES)
    drop(x, attempt, now, FAILED)
    x.let_go()
    x.queued_since = 0.0
    rewind(x)
    if group.queues.waiting:
        group.queues.wake()
    if wait > 0.0:
        x.wait = asyncio.get_running_loop().call_later(wait, go_on, x)
    else:
        go_on(x)
    return True


def rewind(x: Exchange) -> None:
    """Prepare the request to be sent from its beginning; reading the rest of its body is paused."""
    if x.replay_body is not None:
        x.body = b"".join([bytes(x.body or b""), *x.replay_body])
        x.replay_body = None
    if not x.request_done and x.client is not None:
        x.client.pause_reading()


def another_left(x: Exchange) -> bool:
    """Whether a member exists that has not failed this request."""
    tried = [x.attempt.backend, *(x.tried or ())]
    return x.picker is not None and x.picker.first_of(tried, x.key) is not None


def go_on(x: Exchange) -> None:
    """The back-off is over. (The end of the exchange would have cancelled it.)"""
    x.wait = None
    try:
        assert x.route is not None
        x.route.pick.enter(x)
    except Exception:  # no caller above would answer the client
        log.exception("a defect of the proxy, while trying again")
        local_error(x, INTERNAL)


def pause_asked(x: Exchange, head: ResponseHead) -> float | None:
    """Seconds until the retry after a response with Retry-After; None if they exceed the limit."""
    group = x.group
    assert group is not None
    value = head.get(b"retry-after")
    if value is None:
        return 0.0
    seconds = retry_after(value, time.time())
    return seconds if seconds <= group.spec.retry.retry_after_max else None
