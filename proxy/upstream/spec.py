"""What a plan says of an upstream, all of it: what `Group.adopt` takes up.

Law of this file: plain values, equal if they mean the same, so that a reload can tell what has changed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .backend import BackendSpec
from .breaker import BreakerSpec
from .concurrency import ConcurrencySpec
from .health import HealthSpec
from .load.sources import ReportSpec
from .passive_health import OutlierSpec
from .retry import RetrySpec
from .settings import LimitSpec, PoolSettings


class GroupSpec(NamedTuple):
    """What a plan says of an upstream."""

    name: str
    backends: tuple[BackendSpec, ...]
    balance: Any
    """What the balancing algorithm was made from: as long as this is equal, the algorithm keeps what it has learned."""
    pool: PoolSettings = PoolSettings()
    outlier: OutlierSpec | None = OutlierSpec()
    retry: RetrySpec = RetrySpec()
    limits: LimitSpec = LimitSpec()
    panic: float = 0.5
    """Below this share of healthy backends, health is ignored (see panic.py)."""
    slow_start: float = 30.0
    """Seconds until a backend that comes back has its whole share; 0 for at once."""
    slow_start_floor: float = 0.1
    health: HealthSpec | None = None
    breaker: BreakerSpec | None = None
    concurrency: ConcurrencySpec | None = None
    reports: ReportSpec | None = None
    overprovisioning: float = 1.4
    """How much more than its share a priority can serve."""
