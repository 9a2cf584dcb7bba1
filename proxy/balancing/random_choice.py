"""Random: each request to a backend drawn by chance, as often as its weight says.

Looks at nothing, so it forgets nothing and many proxies cannot fall into step; the price is that some backends have
many requests at a time while others have none. nginx `random`, Envoy RANDOM, Traefik's and Caddy's default. One draw.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..upstream.backend import Backend
from .base import Balancer
from .structures.alias_table import AliasTable


class RandomChoice(Balancer):
    """One by chance."""

    name = "random"

    def __init__(self, seed: int | None = None) -> None:
        self.draws = AliasTable(seed)
        self.backends: list[Backend] = []

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.draws.fill([backend.weight for backend in self.backends])

    def pick(self, key: bytes | None) -> Backend | None:
        return self.backends[self.draws.draw()] if self.backends else None
