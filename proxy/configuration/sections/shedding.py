"""When a worker refuses requests because it has too much to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ...limits.shedding import ShedSpec
from ..fields import Duration, Section, Size, duration

if TYPE_CHECKING:
    from ..site import Site

Priority = Literal["critical", "high", "normal", "low"]


class SheddingSection(Section):
    lag: Duration | None = duration("250ms")
    """The event loop of a worker is this late; null for whatever."""
    memory: Size | None = None
    """A worker has this much in memory; null for whatever."""


ABOUT = "When a worker refuses requests, the lowest priorities first, because it has too much to do; null for never."


def to_spec(shedding: SheddingSection, site: Site) -> ShedSpec:
    return ShedSpec(shedding.lag or 0.0, shedding.memory or 0)
