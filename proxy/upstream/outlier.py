"""Outlier detection: causes of an ejection, its duration, and the bound on ejected backends. Pure functions.

Law of this file: whether an ejection is allowed is decided over the whole group, since ejecting must never be the
outage. Terms and defaults are Envoy's (outlier detection), except for small groups: one backend may always be ejected,
the last healthy one never. A worker ejects by failures in a row (passive_health.py), the supervisor by the shares of
all workers (control/outlier_detection.py).
"""

from __future__ import annotations

from typing import NamedTuple

CONNECT, CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, FAILURE_PERCENTAGE, SUCCESS_RATE = range(1, 6)
"""The cause of an ejection: the index into `scoreboard.EJECTION_CAUSES`."""


class OutlierSpec(NamedTuple):
    """When a backend is ejected, and for how long. Times in seconds, shares from 0 to 1; a count of 0 is never."""

    consecutive_5xx: int = 5
    consecutive_gateway: int = 5
    connect_failures: int = 1
    connect_ejection: float = 1.0
    """The first ejection after a failed connect: short, for a backend that restarts."""
    base_ejection: float = 30.0
    max_ejection: float = 300.0
    max_ejected: float = 0.5
    interval: float = 10.0
    failure_percentage: float = 0.85
    failure_hosts: int = 5
    failure_requests: int = 50
    success_rate_factor: float = 1.9
    """Standard deviations below the mean of all backends at which one is ejected; 0 is never."""
    success_hosts: int = 5
    success_requests: int = 100


def ejection_seconds(spec: OutlierSpec, cause: int, times: float) -> float:
    """The duration in seconds of the next ejection after `times` earlier ones: proportional to their number, doubled
    each time after a failed connect; at most `max_ejection`."""
    if cause == CONNECT:
        return min(spec.connect_ejection * float(2 ** int(min(times, 30.0))), spec.max_ejection)
    return min(spec.base_ejection * (times + 1.0), spec.max_ejection)


def may_eject(spec: OutlierSpec, members: int, available: int, ejected: int, panic: float) -> bool:
    """Whether one more backend may be ejected, of `members` in rotation, `available` of them healthy and `ejected`
    ejected already.

    The last healthy one never; the first ejection always; further ones up to `max_ejected`, while the healthy share
    stays at or above `panic`.
    """
    if available <= 1:
        return False
    if ejected == 0:
        return True
    return ejected + 1 <= max(1, int(spec.max_ejected * members)) and available - 1 >= panic * members
