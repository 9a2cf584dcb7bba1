"""Rendezvous hashing: every name has a score for every slot, and the best one gets it (Thaler and Ravishankar, "Using
name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998).

Keys are hashed to a fixed number of slots, and names compete for slots. A comparison of all scores of a slot costs as
much as there are names; so scores are times, and the table is filled by a race: each name throws darts at slots, at the
rate of its weight, and its score for a slot is the time of its first hit. As with any rendezvous hashing a score
depends on its own name alone, so the guarantee is exact: when a name comes, goes, or changes its weight, no slot, and
so no key, moves between two others. Shares differ from the weights by about sqrt(names / slots).
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
    """Raises ValueError unless it is an allowed number of slots."""
    if not isinstance(slots, int) or slots & (slots - 1) or not 2 <= slots <= 1 << 24:
        raise ValueError(f"must be a power of two from 2 to {1 << 24}, not {slots!r}")
