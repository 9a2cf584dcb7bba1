"""Retries: their configuration and the pauses before them. The retry itself is in stages/retry.py.

Law of this file: pure. A request that may have had an effect is sent again only if its method is idempotent (RFC 9110
9.2.2) or the configuration allows it, and never after the first byte of a response went out. The number of retries is
bounded by a budget (retry_budget.py).
"""

from __future__ import annotations

from random import random
from typing import NamedTuple

from .hedge import HedgeSpec


class RetrySpec(NamedTuple):
    """Conditions and bounds of retries. Times in seconds, sizes in bytes."""

    attempts: int = 2
    """Retries after the first attempt."""
    errors: bool = True
    """Retry a connection that failed before the response."""
    timeouts: bool = True
    """Retry after a timeout of the response head."""
    statuses: frozenset[int] = frozenset()
    """Retry a response with one of these statuses."""
    non_idempotent: bool = False
    per_try: float = 0.0
    """The timeout of the response head per attempt; 0: timeouts.response_head."""
    deadline: float = 30.0
    """The latest begin of a retry after the begin of the request."""
    backoff: float = 0.025
    backoff_max: float = 0.25
    budget: float = 0.2
    """Retries per request (retry_budget.py)."""
    budget_min: int = 3
    """Retries per second beside that share."""
    buffer: int = 65_536
    """The largest request body that is kept for a retry."""
    retry_after_max: float = 300.0
    hedge: HedgeSpec | None = None


def backoff(spec: RetrySpec, retry: int) -> float:
    """The pause in seconds before the n-th retry (from 1): uniformly distributed from 0 to (2^n - 1) times the base
    ("full jitter"), so that requests that failed together do not return together."""
    return min((2.0 ** min(retry, 30) - 1.0) * spec.backoff, spec.backoff_max) * random()


def retry_after(value: bytes, wall: float) -> float:
    """The seconds of a Retry-After field (RFC 9110 10.2.3) at the time of day `wall`; 0 if it is malformed."""
    text = value.strip()
    if text.isdigit():
        return float(text[:9])
    from email.utils import parsedate_to_datetime  # rarely: most values are seconds

    try:
        return max(0.0, parsedate_to_datetime(text.decode("latin-1")).timestamp() - wall)
    except (ValueError, OverflowError):
        return 0.0
