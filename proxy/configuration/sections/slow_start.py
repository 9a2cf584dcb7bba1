"""How a backend that comes back gets its share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..fields import Duration, Percent, Section, duration, percent

if TYPE_CHECKING:
    from ..site import Site


class SlowStartSection(Section):
    window: Duration = duration("30s")
    """A backend that comes back, or is new, gets its whole share after this time."""
    floor: Percent = percent("10%")
    """The share of its weight that it gets at first."""


ABOUT = "How a backend that comes back gets its share; null for all at once."
FIELD = (SlowStartSection | None, {"default_factory": SlowStartSection})
EFFECTS = (("*", "ejections and counters stay"),)


def to_spec(slow: SlowStartSection, site: Site) -> tuple[float, float]:
    """Seconds, and the share at first."""
    return slow.window, slow.floor
