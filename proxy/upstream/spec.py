"""The configuration of an upstream as plain values: what `Group.adopt` takes up.

Law of this file: immutable, and equal if the meaning is equal, so that a reload can compare. No live state.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .backend import BackendSpec
from .breaker import BreakerSpec
from .concurrency import ConcurrencySpec
from .health import HealthSpec
from .load.sources import ReportSpec
from .outlier import OutlierSpec
from .retry import RetrySpec


class PoolSettings(NamedTuple):
    """Limits of the connection pool of each backend. Times in seconds."""

    min: int = 0
    max: int = 1024
    idle: float = 55.0
    lifetime: float = 3600.0
    pending: int = 1024
    connect_timeout: float = 3.0


class LimitSpec(NamedTuple):
    """Limits on requests in flight, counted over all workers, and of the queue. 0 is no limit."""

    requests: int = 0
    """Requests in flight at the whole upstream."""
    requests_per_backend: int = 1024
    queue: int = 1024
    """Requests of one worker that wait for one of these limits."""
    queue_timeout: float = 1.0
    """Longest wait, in seconds."""
    queue_target: float = 0.1
    """Longest wait, in seconds, in a queue that has not been empty for `queue_timeout`."""


class GroupSpec(NamedTuple):
    """The configuration of an upstream. Constructed by name."""

    name: str
    backends: tuple[BackendSpec, ...]
    balance: Any
    """The description of the balancing algorithm. While it stays equal, the algorithm keeps what it has learned."""
    pool: PoolSettings = PoolSettings()
    outlier: OutlierSpec | None = OutlierSpec()
    retry: RetrySpec = RetrySpec()
    limits: LimitSpec = LimitSpec()
    panic: float = 0.5
    """The healthy share below which health is ignored (panic.py)."""
    slow_start: float = 30.0
    """Seconds until a backend that returns has its full weight; 0 for at once."""
    slow_start_floor: float = 0.1
    """The share of its weight that it starts with."""
    health: HealthSpec | None = None
    breaker: BreakerSpec | None = None
    concurrency: ConcurrencySpec | None = None
    reports: ReportSpec | None = None
    overprovisioning: float = 1.4
    """The factor by which a priority can serve more than its share."""
