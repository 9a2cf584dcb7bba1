"""Passive health: a backend that fails requests is ejected for a while, and for longer each time.

Law of this file: judging one response is a few comparisons of this backend's own numbers; whether an ejection is
allowed is decided over the whole group, since ejecting may never be the outage. Terms and numbers are Envoy's
(outlier detection), but for small groups: one backend may always be ejected, the last healthy one never. A worker
ejects by what it sees; the sweep over the sums of all workers is the supervisor's (`control/outlier_detection.py`).
"""

from __future__ import annotations

from typing import NamedTuple

CONNECT, CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, FAILURE_PERCENTAGE, SUCCESS_RATE = range(1, 6)
"""Why a backend was ejected: the index into `scoreboard.EJECTION_CAUSES`."""


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
    """How long the next ejection lasts after `times` earlier ones: the base, once more each time; doubled after a
    failed connect, where the first is short."""
    if cause == CONNECT:
        return min(spec.connect_ejection * float(2 ** int(min(times, 30.0))), spec.max_ejection)
    return min(spec.base_ejection * (times + 1.0), spec.max_ejection)


def may_eject(spec: OutlierSpec, members: int, available: int, ejected: int, panic: float) -> bool:
    """Whether one more of `available` backends may go, of `members` in rotation, `ejected` of which are out already.

    The last one never; a first one always; further ones up to `max_ejected`, and not so many that the group panics.
    """
    if available <= 1:
        return False
    if ejected == 0:
        return True
    return ejected + 1 <= max(1, int(spec.max_ejected * members)) and available - 1 >= panic * members
