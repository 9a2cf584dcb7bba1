"""Subsets: each proxy of a large fleet uses only some of many backends, so that it keeps fewer connections.

Which ones is decided by rendezvous hashing of the proxy's identity with each address: every proxy has another set, sets
overlap by chance, and if a backend comes or goes only those proxies that had it, or now have it, change one member. The
workers of a machine share its set. Only healthy backends are chosen from, so a proxy is not cut off because those that
it had are gone. (Envoy: random_subsetting; gRPC: gRFC A68.)
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from heapq import nlargest

import mmh3

from ...upstream.backend import Backend
from .partition import Make, Part, Parts

CHOSEN = "subset"


class Subset(Parts):
    """Uses `size` of its members; `identity` is the name of this proxy."""

    name = "subset"

    def __init__(self, make: Make, size: int, identity: str, seed: int | None = None) -> None:
        super().__init__(make, seed)
        self.size = size
        self.identity = identity.encode()

    def divide(self, members: Sequence[Backend]) -> list[Part]:
        usable = [backend for backend in members if backend.weight > 0]
        chosen = set(nlargest(self.size, usable, key=self.affinity))
        kept = [backend for backend in usable if backend in chosen]
        return [Part(CHOSEN, kept, 1.0)] if kept else []

    def label_of(self, backend: Backend) -> Hashable:
        return CHOSEN

    def all_of(self, part: Part, belonging: Sequence[Backend]) -> Sequence[Backend]:
        """The members, and of the others those that would be chosen next, up to as many as are used if all are well."""
        others = set(belonging).difference(part.members)
        return [*part.members, *nlargest(self.size - len(part.members), others, key=self.affinity)]

    def affinity(self, backend: Backend) -> int:
        """How much this proxy wants a backend."""
        return mmh3.hash(self.identity + b"\n" + backend.name.encode(), signed=False)
