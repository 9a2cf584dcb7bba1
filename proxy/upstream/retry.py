"""What may be sent again, when, and how often: the numbers; the doing is in pipeline.py.

Law of this file: nothing here sends. A request whose sending could have had an effect is sent again only if its method
is idempotent (RFC 9110 9.2.2) or the configuration says so, and never after the first byte of a response went out.
Retries are a share of the requests (the budget), so that they cannot become the load that kills an upstream.

The budget is an account, as in Finagle and Linkerd: each request pays in `budget`, a retry draws one, what is there
decays within BUDGET_SECONDS, and `budget_min` retries per second are always paid in. A share of the requests in flight
(Envoy) was tried first: when one of three backends is killed, a third of what is in flight fails at once, and most of
it was refused a retry.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from random import random
from typing import NamedTuple

from .hedge import HedgeSpec

BUDGET_SECONDS = 10.0
"""How long what is not used of the budget is kept."""


class RetrySpec(NamedTuple):
    """When a request is sent again. Times in seconds, sizes in bytes."""

    attempts: int = 2
    """Retries after the first try."""
    errors: bool = True
    """After a connection that failed before the response."""
    timeouts: bool = True
    """After a response head that did not come in time."""
    statuses: frozenset[int] = frozenset()
    """After a response with one of these."""
    non_idempotent: bool = False
    per_try: float = 0.0
    """How long one try may wait for the response head; 0: as long as timeouts.response_head."""
    deadline: float = 30.0
    """No retry begins later than this after the request."""
    backoff: float = 0.025
    backoff_max: float = 0.25
    budget: float = 0.2
    budget_min: int = 3
    """Retries per second that are allowed whatever the number of requests."""
    buffer: int = 65_536
    """The largest request body that is kept for sending it again."""
    retry_after_max: float = 300.0
    hedge: HedgeSpec | None = None


def backoff(spec: RetrySpec, retry: int) -> float:
    """Seconds to wait before the n-th retry (from 1): anything from 0 to (2^n - 1) times the base, evenly
    distributed ("full jitter"), so that requests that failed together do not come back together."""
    return min((2.0 ** min(retry, 30) - 1.0) * spec.backoff, spec.backoff_max) * random()


def retry_after(value: bytes, wall: float) -> float:
    """Seconds that a Retry-After field asks for (RFC 9110 10.2.3) at the time of day `wall`; 0 if it makes no sense."""
    text = value.strip()
    if text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text.decode("latin-1")).timestamp() - wall)
    except (ValueError, OverflowError):
        return 0.0
