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
    """The share of failed requests at which it opens."""
    slow: Duration | None = None
    """Responses that take longer in all count as failures; null for none."""
    requests: Count = 20
    """Only if so many were made within the window."""
    window: Duration = duration("10s")
    """The time over which requests are counted."""
    open: Duration = duration("5s")
    """How long it is open; twice as long each time that it has to open again."""
    open_max: Duration = duration("60s")
    """It is never open for longer."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 3
    """Requests that each worker then lets through; if all are answered well, it closes."""


ABOUT = "The circuit breaker: refuses everything for a while if too much fails; null for none."


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
