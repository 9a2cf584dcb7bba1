"""Passive health: ejection of backends that fail requests, and their return."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ..fields import Count, Duration, Percent, Section, Whole, duration, percent

if TYPE_CHECKING:
    from ...upstream.outlier import OutlierSpec
    from ..site import Site


class FailurePercentage(Section):
    threshold: Percent = percent("85%")
    """The share of failed requests within an interval at which a backend is ejected."""
    hosts: Count = 5
    """The least number of backends with enough requests; with fewer none is ejected."""
    requests: Count = 50
    """The least number of a backend's requests in an interval."""


class SuccessRate(Section):
    factor: float = Field(default=1.9, gt=0, le=100)
    """The number of standard deviations below the mean success rate at which a backend is ejected."""
    hosts: Count = 5
    """The least number of backends with enough requests; with fewer none is ejected."""
    requests: Count = 100
    """The least number of a backend's requests in an interval."""


class OutlierSection(Section):
    consecutive_5xx: Whole = 5
    """Consecutive failures, statuses of 500 and above included, that eject a backend; 0 for never."""
    consecutive_gateway: Whole = 5
    """Consecutive failures without a response, or with 502, 503 or 504, that eject a backend; 0 for never."""
    connect_failures: Whole = 1
    """Consecutive failed connects that eject a backend; 0 for never."""
    connect_ejection: Duration = duration("1s")
    """The duration of the first ejection after a failed connect; each further one is twice as long."""
    base_ejection: Duration = duration("30s")
    """The duration of the first ejection for other causes; the n-th is n times as long."""
    max_ejection: Duration = duration("300s")
    """The longest duration of an ejection."""
    max_ejected: Percent = percent("50%")
    """The largest share of the backends that is ejected at a time; one always may be, the last one never."""
    interval: Duration = duration("10s")
    """Time between two evaluations of the conditions below."""
    failure_percentage: FailurePercentage | None = Field(default_factory=FailurePercentage)
    """Ejection by the share of failed requests; null for none."""
    success_rate: SuccessRate | None = Field(default_factory=SuccessRate)
    """Ejection of statistical outliers by the success rate; null for none."""


ABOUT = "Passive health: ejection of backends that fail requests; null for none."
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
