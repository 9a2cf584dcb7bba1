"""The adaptive limit on requests in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..fields import Count, Duration, Percent, Section, duration, percent

if TYPE_CHECKING:
    from ...upstream.concurrency import ConcurrencySpec
    from ..site import Site


class ConcurrencySection(Section):
    min: Count = 3
    """The lower bound of a worker's limit, and its value while the baseline is measured."""
    max: Count = 1000
    """The upper bound of a worker's limit."""
    interval: Duration = duration("60s")
    """The interval at which the baseline response time is measured under load."""
    samples: Annotated[int, Field(ge=5, le=10_000)] = 50
    """Responses per evaluation of the limit."""
    buffer: Percent = percent("25%")
    """The tolerated increase of response times over the baseline before the limit falls."""


ABOUT = "An adaptive limit on requests in flight, learned from response times; null for none."


def to_spec(wanted: ConcurrencySection, site: Site) -> ConcurrencySpec:
    from ...upstream.concurrency import ConcurrencySpec

    return ConcurrencySpec(
        min(wanted.min, wanted.max), max(wanted.min, wanted.max), wanted.interval, wanted.samples, wanted.buffer
    )
