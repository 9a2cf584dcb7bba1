"""Power of two choices: of two random members, the one with fewer requests in flight for its weight.

Nearly as even as looking at all of them, at a cost that does not grow, and no herd: simultaneous requests draw other
members. The default of HAProxy (3.3) and of Envoy's LEAST_REQUEST. Source: Mitzenmacher, "The Power of Two Choices in
Randomized Load Balancing", IEEE Transactions on Parallel and Distributed Systems 12(10), 2001.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..upstream.backend import Backend
from .base import Balancer
from .structures.sampling import Urn, dice


class PowerOfTwo(Balancer):
    """The less loaded of two random members."""

    name = "power_of_two"

    def __init__(self, seed: int | None = None) -> None:
        self.urn = Urn(dice(seed))

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.urn.fill(usable)

    def pick(self, key: bytes | None) -> Backend | None:
        urn = self.urn
        if urn.size < 2:
            return urn.members[0] if urn.size else None
        at = urn.draw()
        other = urn.draw_other(at)
        first: Backend = urn.members[at]
        second: Backend = urn.members[other]
        if second.load() * first.weight < first.load() * second.weight:
            return second
        return first
