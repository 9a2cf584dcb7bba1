"""Rendezvous hashing: every name has a score for every slot, and the best one gets it (Thaler and Ravishankar, "Using
name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998).

Keys are hashed to slots, of which there is a fixed number, and names compete for slots. Comparing all scores of a slot
costs as much as there are names; so the score is a moment, and a race is run instead: each name throws darts at slots,
as often as its weight says, and the score of a name for a slot is when it first hits it. What counts is the same as
ever: a score depends on nobody else. So the guarantee is exact: when a name comes, goes, or changes its weight, no
slot, and so no key, moves between two others. Shares differ from the weights by about sqrt(names / slots).
"""

from __future__ import annotations

from collections.abc import Mapping

from .placement import Placement, counted
from .tables import darts

SLOTS = 1 << 17


class Rendezvous(Placement):
    """`slots` is a power of two. Raises ValueError if it is not."""

    def __init__(self, weights: Mapping[str, float], slots: int = SLOTS) -> None:
        check_slots(slots)
        super().__init__(weights)
        bits = slots.bit_length() - 1
        self.owners = darts(self.seeds, self.weights, bits)
        self.shift = 64 - bits

    def at(self, place: int) -> int:
        return self.owners[place >> self.shift]

    def shares(self) -> dict[str, float]:
        return counted(self.names, self.owners)


def check_slots(slots: int) -> None:
    """Raises ValueError unless there may be so many slots."""
    if not isinstance(slots, int) or slots & (slots - 1) or not 2 <= slots <= 1 << 24:
        raise ValueError(f"must be a power of two from 2 to {1 << 24}, not {slots!r}")
