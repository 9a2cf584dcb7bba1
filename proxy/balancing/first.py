"""First: all requests to the first member until that has `max_in_flight`, then to the second, and so on.

As few backends as possible are used, in the order of the configuration, so that the last ones fall idle and can be
removed: for backends that are paid by the hour, and to scale in. HAProxy `first` (there the limit is `maxconn`). The
limit is that of all workers together, for the heaviest member in rotation, healthy or not; those of the others are in
proportion to their weights. If all are full, the less full of two random ones. A backend that fails stays the first:
leave outlier detection on.

Members with room are in a heap by their order; a full one is removed when it is at the top, and put back when a request
is over. A pick reads the top of the heap.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from heapq import heappop, heappush
from math import ceil
from typing import Any

from ..upstream.backend import Backend
from .base import Balancer, Done
from .structures.alias_table import AliasTable


class First(Balancer):
    """The first that has room."""

    name = "first"

    def __init__(self, max_in_flight: int = 100, seed: int | None = None) -> None:
        if not max_in_flight >= 1:
            raise ValueError(f"max_in_flight: must be at least 1, not {max_in_flight}")
        self.max_in_flight = max_in_flight
        self.draws = AliasTable(seed)
        self.backends: list[Backend] = []
        self.heaviest = 0.0
        """The greatest weight in rotation."""
        self.places: dict[Backend, int] = {}
        self.limits = array("q", [0])
        self.open: list[int] = []
        """A heap of the places of members that may have room."""
        self.listed = bytearray(1)
        """Whether a place is in the heap."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.heaviest = max((backend.wanted_weight() for backend in in_rotation), default=0.0)
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.places = {backend: at for at, backend in enumerate(self.backends)}
        weights = [backend.weight for backend in self.backends]
        self.draws.fill(weights)
        shares = [backend.weight / backend.scale for backend in self.backends]
        each = self.max_in_flight / (max(self.heaviest, max(shares, default=0.0)) or 1.0)
        self.limits = array("q", [ceil(round(each * share, 6)) for share in shares] or [0])
        self.open = list(range(len(weights)))
        self.listed = bytearray([1] * (len(weights) or 1))

    def pick(self, key: bytes | None) -> Backend | None:
        places = self.open
        while places:
            at = places[0]
            if self.room(at) > 0:
                return self.backends[at]
            heappop(places)
            self.listed[at] = 0
        return self.backends[self.less_full()] if self.backends else None

    def released(self, backend: Backend, done: Done) -> None:
        found = self.places.get(backend)
        if found is not None:
            self.relist(found)

    def tick(self, now: float) -> None:
        """Put back members at which requests of other workers have ended."""
        for at in range(len(self.backends)):
            self.relist(at)

    def explain(self) -> dict[str, Any]:
        return {
            "backends": {
                backend.name: {"order": at + 1, "in_flight": backend.load(), "limit": self.limits[at]}
                for at, backend in enumerate(self.backends)
            },
            "picks": [],
        }

    def room(self, at: int) -> int:
        """The number of further requests that a member may have."""
        backend: Backend = self.backends[at]
        return self.limits[at] - backend.load()

    def relist(self, at: int) -> None:
        """Put a member into the heap if it has room and is not there."""
        if not self.listed[at] and self.room(at) > 0:
            self.listed[at] = 1
            heappush(self.open, at)

    def less_full(self) -> int:
        """One of two drawn: the one with fewer requests for its limit."""
        one = self.draws.draw()
        other = self.draws.draw_other(one) if self.draws.size > 1 else one
        first: Backend = self.backends[one]
        second: Backend = self.backends[other]
        return other if second.load() * self.limits[one] < first.load() * self.limits[other] else one
