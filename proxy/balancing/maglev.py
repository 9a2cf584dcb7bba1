"""Maglev: a key's hash is the index of a table that is filled by backends in turns (see sharding/maglev.py).

Of all algorithms by key it spreads keys most evenly; when a backend leaves, a few keys of others move as well. The
table is another one above 128 backends in rotation, and above 1,024: many keys move when an upstream grows beyond these
numbers. Envoy: MAGLEV, with one kind of table for any number. A pick costs one hash and one lookup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..sharding.maglev import Maglev, check_size, extent_for
from ..sharding.placement import Placement
from ..upstream.backend import Backend
from .hashed import QUIET, Hashed


class MaglevHash(Hashed):
    """A table that is filled in turns."""

    name = "maglev"

    def __init__(self, table: int | None = None, factor: float | None = None, quiet: float = QUIET) -> None:
        super().__init__(factor, quiet)
        if table is not None:
            try:
                check_size(table)
            except ValueError as error:
                raise ValueError(f"table: {error}") from None
        self.table = table or 0
        """The number of entries; 0 for the one that fits the number of backends."""
        self.configured = 0
        """The number of backends in rotation, healthy or not: if the size of the table depended on health, all keys
        would move."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.configured = len(in_rotation)
        super().members(listed, in_rotation, usable)

    def extent(self, weights: Mapping[str, float]) -> tuple[int, int]:
        return extent_for(max(self.configured, len(weights)), self.table)

    def place(self, weights: Mapping[str, float]) -> Placement:
        return Maglev(weights, self.table, self.configured)
