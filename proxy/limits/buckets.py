"""Token buckets of many keys, shared by all workers without locks.

Law of this file: a bucket is two cells, its key and a time, and each is changed by compare-and-swap only. The cost of a
lost race or a full table is documented here, and is a few requests too many at most.

The algorithm is GCRA (ITU-T I.371): a bucket is one number, the time at which it would be full again. A request
moves that time on by one interval; if it would then lie further ahead than the burst allows, the request has come too
early. A bucket whose time has passed is the same as none, so nothing is cleaned up: its place is free for another key.
Keys are hashed to sets of WAYS places; if all are in use, the bucket that is nearest to being full is evicted, and the
used tokens of its key are forgiven.
"""

from __future__ import annotations

from typing import Any

from .atomic import AtomicCells

WAYS = 8
_WAYS = WAYS
_POSITIVE = 0x7FFFFFFFFFFFFFFF
"""All bits of a key but its sign."""
MOST_RACES = 8
"""Attempts to find a place while other workers take it."""
_MOST_RACES = MOST_RACES


class Buckets:
    """The buckets in `cells`, all empty where the cells are 0. Times are ns of CLOCK_MONOTONIC."""

    def __init__(self, cells: Any) -> None:
        self.cells = AtomicCells(cells)
        self.sets = self.cells.length // (2 * WAYS)
        self.forgiven = 0
        """Buckets that were evicted while in use."""

    def take(self, key: int, now: int, interval: int, depth: int) -> int:
        """Take a token from the bucket of `key`, any number of 64 bits but 0, at time `now`.

        A token comes back every `interval` ns, and a full bucket has `depth` ns worth of them. Returns 0 if there was
        one, else the ns until there is.
        """
        cells = self.cells
        place = self.place(key, now)
        if place < 0:  # every race for the set was lost: the request is let through
            return 0
        while True:
            before = cells.get(place + 1)
            after = (before if before > now else now) + interval
            if after - now > depth:
                return after - now - depth
            if cells.swap(place + 1, before, after):
                return 0

    def used(self, key: int, now: int) -> int:
        """The used part of a key's bucket, in ns; takes nothing."""
        place = self.found(key)
        return max(0, self.cells.get(place + 1) - now) if place >= 0 else 0

    def found(self, key: int) -> int:
        """The first cell of a key's bucket, -1 if it has none."""
        cells = self.cells
        start = (key & _POSITIVE) % self.sets * 2 * _WAYS
        for place in range(start, start + 2 * _WAYS, 2):
            if cells.get(place) == key:
                return place
        return -1

    def place(self, key: int, now: int) -> int:
        """The first cell of a key's bucket, made if there is none; -1 if it could not be."""
        cells = self.cells
        start = (key & _POSITIVE) % self.sets * 2 * _WAYS
        for _ in range(_MOST_RACES):
            place = self.found(key)
            if place >= 0:
                return place
            place = start
            least = cells.get(start + 1)
            for other in range(start + 2, start + 2 * _WAYS, 2):
                full = cells.get(other + 1)
                if full < least:
                    place, least = other, full
            if cells.swap(place, cells.get(place), key):
                if least > now and cells.swap(place + 1, least, 0):
                    self.forgiven += 1
                return place
        return -1
