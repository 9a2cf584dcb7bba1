"""The base of all placements: names with weights, each key belonging to one of them.

Law of this file: a placement never changes; when names or weights change, another one is made. Names are sorted, so
their order does not matter.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from .tables import hash_of, tally

MOST_NAMES = 65_535
"""Owners in tables have 16 bits; one value stands for none."""


class Placement:
    """Names to which keys belong. Weights are greater than 0; only their ratios matter. Raises ValueError with more
    than MOST_NAMES."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        if len(weights) > MOST_NAMES:
            raise ValueError(f"{len(weights)} names are more than {MOST_NAMES}")
        self.names = tuple(sorted(weights))
        self.weights = array("d", [weights[name] for name in self.names])
        self.seeds = array("Q", [hash_of(name.encode()) for name in self.names])

    def at(self, place: int) -> int:
        """The index in `names` of the owner of a hash of 64 bits. There has to be a name."""
        raise NotImplementedError

    def owner(self, key: bytes) -> str:
        """The name that a key belongs to. Raises LookupError if there are no names."""
        if not self.names:
            raise LookupError("nobody to place keys at")
        return self.names[self.at(hash_of(key))]

    def shares(self) -> dict[str, float]:
        """The share of keys of each name."""
        raise NotImplementedError


def counted(names: tuple[str, ...], owners: array[int]) -> dict[str, float]:
    """The share of table entries of each name."""
    return {name: entries / len(owners) for name, entries in zip(names, tally(owners, len(names)), strict=True)}
