"""Random: each request goes to a random backend, by weight.

It has no state, so many proxies cannot synchronise; the price is that some backends have many requests at a time while
others have none. nginx `random`, Envoy RANDOM, Traefik's and Caddy's default. One draw.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..upstream.backend import Backend
from .base import Balancer
from .structures.alias_table import AliasTable


class RandomChoice(Balancer):
    """A random member."""

    name = "random"

    def __init__(self, seed: int | None = None) -> None:
        self.draws = AliasTable(seed)
        self.backends: list[Backend] = []

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.draws.fill([backend.weight for backend in self.backends])

    def pick(self, key: bytes | None) -> Backend | None:
        return self.backends[self.draws.draw()] if self.backends else None
