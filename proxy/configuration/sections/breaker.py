"""The circuit breaker of an upstream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..fields import Count, Duration, Percent, Section, duration, percent

if TYPE_CHECKING:
    from ...upstream.breaker import BreakerSpec
    from ..site import Site


class BreakerSection(Section):
    failures: Percent = percent("50%")
    """The share of failed requests at which the breaker opens."""
    slow: Duration | None = None
    """Responses with a longer total time count as failures; null for none."""
    requests: Count = 20
    """The least number of requests within the window for the breaker to open."""
    window: Duration = duration("10s")
    """The time over which requests are counted."""
    open: Duration = duration("5s")
    """The time for which the breaker is open, doubled each time it opens again."""
    open_max: Duration = duration("60s")
    """The upper bound of that time."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 3
    """Half-open: requests that each worker then admits; if all succeed, the breaker closes."""


ABOUT = "The circuit breaker: refuses all requests for a time if too many fail; null for none."


def to_spec(breaker: BreakerSection, site: Site) -> BreakerSpec:
    from ...upstream.breaker import BreakerSpec

    return BreakerSpec(
        failures=breaker.failures,
        slow=breaker.slow or 0.0,
        requests=breaker.requests,
        window=breaker.window,
        open=breaker.open,
        open_max=max(breaker.open, breaker.open_max),
        trials=breaker.trials,
    )
