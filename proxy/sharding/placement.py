"""What every way to place keys has in common: names with weights, and the one of them that a key belongs to.

Law of this file: a placement never changes; when names or weights change, another one is made. Names are sorted, so it
does not matter in which order they were listed.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping

from .tables import hash_of, tally

MOST_NAMES = 65_535
"""Tables say in 16 bits who somebody is, or that it is nobody."""


class Placement:
    """Names of which each key belongs to one. Weights are greater than 0; only their ratios matter. Raises ValueError
    if there are more than MOST_NAMES."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        if len(weights) > MOST_NAMES:
            raise ValueError(f"{len(weights)} names are more than {MOST_NAMES}")
        self.names = tuple(sorted(weights))
        self.weights = array("d", [weights[name] for name in self.names])
        self.seeds = array("Q", [hash_of(name.encode()) for name in self.names])

    def at(self, place: int) -> int:
        """The index in `names` of the one that a hash of 64 bits belongs to. There has to be one."""
        raise NotImplementedError

    def owner(self, key: bytes) -> str:
        """The name that a key belongs to. Raises LookupError if there are no names."""
        if not self.names:
            raise LookupError("nobody to place keys at")
        return self.names[self.at(hash_of(key))]

    def shares(self) -> dict[str, float]:
        """The part of all keys that each name has."""
        raise NotImplementedError


def counted(names: tuple[str, ...], owners: array[int]) -> dict[str, float]:
    """The part of a table that each name has."""
    return {name: entries / len(owners) for name, entries in zip(names, tally(owners, len(names)), strict=True)}
