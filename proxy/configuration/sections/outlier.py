"""Passive health: when a backend is taken out for what it did to requests, and how it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ..fields import Count, Duration, Percent, Section, Whole, duration, percent

if TYPE_CHECKING:
    from ...upstream.outlier import OutlierSpec
    from ..site import Site


class FailurePercentage(Section):
    threshold: Percent = percent("85%")
    """A backend at which this share of requests failed within an interval is ejected."""
    hosts: Count = 5
    """Only if so many backends had enough requests."""
    requests: Count = 50
    """Requests in an interval that are enough."""


class SuccessRate(Section):
    factor: float = Field(default=1.9, gt=0, le=100)
    """A backend whose share of good responses is so many standard deviations below the mean is ejected."""
    hosts: Count = 5
    """Only if so many backends had enough requests."""
    requests: Count = 100
    """Requests in an interval that are enough."""


class OutlierSection(Section):
    consecutive_5xx: Whole = 5
    """Failures in a row, statuses of 500 and above included, that eject a backend; 0 for never."""
    consecutive_gateway: Whole = 5
    """Failures in a row to answer at all, or with 502, 503 or 504, that eject a backend; 0 for never."""
    connect_failures: Whole = 1
    """Failed connects in a row that eject a backend; 0 for never."""
    connect_ejection: Duration = duration("1s")
    """How long the first ejection after a failed connect lasts; each further one twice as long."""
    base_ejection: Duration = duration("30s")
    """How long the first ejection for other causes lasts; the n-th n times as long."""
    max_ejection: Duration = duration("300s")
    """No ejection lasts longer."""
    max_ejected: Percent = percent("50%")
    """No more than this share of the backends is ejected at a time, but one always may be, and the last never."""
    interval: Duration = duration("10s")
    """Time between two looks at the shares below."""
    failure_percentage: FailurePercentage | None = Field(default_factory=FailurePercentage)
    """Ejects by the share of failed requests; null for not at all."""
    success_rate: SuccessRate | None = Field(default_factory=SuccessRate)
    """Ejects a backend that does much worse than the others; null for not at all."""


ABOUT = "Passive health: ejects backends that fail requests; null for not at all."
FIELD = (OutlierSection | None, {"default_factory": OutlierSection})
EFFECTS = (("*", "ejections and counters stay"),)


def to_spec(outlier: OutlierSection, site: Site) -> OutlierSpec:
    from ...upstream.outlier import OutlierSpec

    percentage, rate = outlier.failure_percentage, outlier.success_rate
    return OutlierSpec(
        consecutive_5xx=outlier.consecutive_5xx,
        consecutive_gateway=outlier.consecutive_gateway,
        connect_failures=outlier.connect_failures,
        connect_ejection=outlier.connect_ejection,
        base_ejection=outlier.base_ejection,
        max_ejection=outlier.max_ejection,
        max_ejected=outlier.max_ejected,
        interval=outlier.interval,
        failure_percentage=percentage.threshold if percentage is not None else 0.0,
        failure_hosts=percentage.hosts if percentage is not None else 0,
        failure_requests=percentage.requests if percentage is not None else 0,
        success_rate_factor=rate.factor if rate is not None else 0.0,
        success_hosts=rate.hosts if rate is not None else 0,
        success_requests=rate.requests if rate is not None else 0,
    )
