"""Load shedding: when an overloaded worker refuses requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..fields import Duration, Section, Size, duration

if TYPE_CHECKING:
    from ...limits.shedding import ShedSpec
    from ..site import Site

Priority = Literal["critical", "high", "normal", "low"]


class SheddingSection(Section):
    lag: Duration | None = duration("250ms")
    """The lag of a worker's event loop at which requests are shed; null for no such condition."""
    memory: Size | None = None
    """The memory of a worker at which requests are shed; null for no such condition."""


ABOUT = "Load shedding: an overloaded worker refuses requests, the lowest priorities first; null for none."


def to_spec(shedding: SheddingSection, site: Site) -> ShedSpec:
    from ...limits.shedding import ShedSpec

    return ShedSpec(shedding.lag or 0.0, shedding.memory or 0)
