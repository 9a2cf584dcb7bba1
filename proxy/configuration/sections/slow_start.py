"""Slow start of new and returning backends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..fields import Duration, Percent, Section, duration, percent

if TYPE_CHECKING:
    from ..site import Site


class SlowStartSection(Section):
    window: Duration = duration("30s")
    """The time after which a new or returning backend gets its full share."""
    floor: Percent = percent("10%")
    """The initial share of its weight."""


ABOUT = "Slow start of new and returning backends; null for their full share at once."
FIELD = (SlowStartSection | None, {"default_factory": SlowStartSection})
EFFECTS = (("*", "ejections and counters stay"),)


def to_spec(slow: SlowStartSection, site: Site) -> tuple[float, float]:
    """The window in seconds, and the initial share."""
    return slow.window, slow.floor
