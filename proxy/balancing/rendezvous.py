"""Rendezvous hashing: a key goes to the backend with the highest score for its slot (see sharding/rendezvous.py).

When a backend leaves, comes, or changes its weight, no key moves between two others, exactly; the only parameter is the
number of slots. Shares are as even as on the ring up to some hundred backends, and less beyond. A pick
costs one hash and one lookup, however many backends there are.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..sharding.placement import Placement
from ..sharding.rendezvous import SLOTS, Rendezvous, check_slots
from .hashed import QUIET, Hashed


class RendezvousHash(Hashed):
    """The highest score, by weight."""

    name = "rendezvous"

    def __init__(self, slots: int = SLOTS, factor: float | None = None, quiet: float = QUIET) -> None:
        super().__init__(factor, quiet)
        try:
            check_slots(slots)
        except ValueError as error:
            raise ValueError(f"slots: {error}") from None
        self.slots = slots

    def place(self, weights: Mapping[str, float]) -> Placement:
        return Rendezvous(weights, self.slots)
