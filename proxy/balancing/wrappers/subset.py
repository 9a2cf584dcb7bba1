"""Subsets: each proxy of a large fleet uses only some of many backends, so that it keeps fewer connections.

The set follows from rendezvous hashing of the proxy's identity with each address: every proxy has another set, sets
overlap by chance, and when a backend comes or goes each proxy changes one member at most. The workers of a machine
share its set. It is chosen among usable backends, so that a proxy whose backends are gone gets others. (Envoy:
random_subsetting; gRPC: gRFC A68.)
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from heapq import nlargest

import mmh3

from ...upstream.backend import Backend
from .partition import Make, Part, Partition

CHOSEN = "subset"


class Subset(Partition):
    """Uses `size` of its members; `identity` is the name of this proxy."""

    name = "subset"

    def __init__(self, make: Make, size: int, identity: str, seed: int | None = None) -> None:
        super().__init__(make, seed)
        self.size = size
        self.identity = identity.encode()

    def divide(self, in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> list[Part]:
        weighted = [backend for backend in usable if backend.weight > 0]
        chosen = set(nlargest(self.size, weighted, key=self.affinity))
        kept = [backend for backend in weighted if backend in chosen]
        return [Part(CHOSEN, kept, 1.0)] if kept else []

    def label_of(self, backend: Backend) -> Hashable:
        return CHOSEN

    def extent(self, part: Part, labelled: Sequence[Backend]) -> Sequence[Backend]:
        """The members, and of the others those that come next by affinity, up to `size`."""
        others = set(labelled).difference(part.members)
        return [*part.members, *nlargest(self.size - len(part.members), others, key=self.affinity)]

    def affinity(self, backend: Backend) -> int:
        """The rendezvous score of a backend for this proxy."""
        return mmh3.hash(self.identity + b"\n" + backend.name.encode(), signed=False)
