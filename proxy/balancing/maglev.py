"""Maglev: a key's hash is the index of a table that backends have filled in turns (see sharding/maglev.py).

Of all algorithms by key it spreads keys most evenly, each backend has its share to one entry of 65,537; when a backend
leaves, a few keys of others move as well. Envoy: MAGLEV. A pick costs one hash and one lookup.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..sharding.maglev import SIZE, check_size
from ..sharding.maglev import Maglev as Table
from ..sharding.placement import Placement
from .hashed import QUIET, Hashed


class Maglev(Hashed):
    """A table that was filled in turns."""

    name = "maglev"

    def __init__(self, table: int = SIZE, factor: float | None = None, quiet: float = QUIET) -> None:
        super().__init__(factor, quiet)
        try:
            check_size(table)
        except ValueError as error:
            raise ValueError(f"table: {error}") from None
        self.table = table

    def place(self, weights: Mapping[str, float]) -> Placement:
        return Table(weights, self.table)
