"""The adaptive limit on requests in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ...upstream.concurrency import ConcurrencySpec
from ..fields import Count, Duration, Percent, Section, duration, percent

if TYPE_CHECKING:
    from ..site import Site


class ConcurrencySection(Section):
    min: Count = 3
    """The limit of a worker is never lower; while the baseline is measured it is this."""
    max: Count = 1000
    """The limit of a worker is never higher."""
    interval: Duration = duration("60s")
    """How often the time of an unhindered response is measured anew under load."""
    samples: Annotated[int, Field(ge=5, le=10_000)] = 50
    """Responses that are enough to judge."""
    buffer: Percent = percent("25%")
    """Responses may take so much longer than unhindered ones before the limit falls."""


ABOUT = "An adaptive limit on requests in flight, learned from response times; null for none."


def to_spec(wanted: ConcurrencySection, site: Site) -> ConcurrencySpec:
    return ConcurrencySpec(
        min(wanted.min, wanted.max), max(wanted.min, wanted.max), wanted.interval, wanted.samples, wanted.buffer
    )
