"""Random members, each in proportion to its weight, at a cost that does not depend on their number.

Law of this file: all work is done in `fill`; a draw is one random number and two looks at arrays. With unequal weights
that is the alias method (Vose, "A linear algorithm for generating random numbers with a given distribution", IEEE
Transactions on Software Engineering 17(9), 1991).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from random import Random, random

from ...upstream.backend import Backend


def dice(seed: int | None) -> Callable[[], float]:
    """A source of random numbers in [0, 1); with a seed, always the same ones."""
    return random if seed is None else Random(seed).random


def alias_table(weights: Sequence[int]) -> tuple[list[float], list[int]]:
    """For each place, the probability with which a draw of it is kept, and the place that is drawn otherwise."""
    size = len(weights)
    mean = sum(weights) / size
    share = [weight / mean for weight in weights]
    keep, alias = [1.0] * size, list(range(size))
    small = [at for at, each in enumerate(share) if each < 1.0]
    large = [at for at, each in enumerate(share) if each >= 1.0]
    while small and large:
        less, more = small.pop(), large[-1]
        keep[less], alias[less] = share[less], more
        share[more] -= 1.0 - share[less]
        if share[more] < 1.0:
            small.append(large.pop())
    return keep, alias


class Urn:
    """Members to draw from; those of weight 0 are not in it."""

    def __init__(self, dice: Callable[[], float]) -> None:
        self.dice = dice
        self.members: list[Backend] = []
        self.size = 0
        self.even = True
        """Whether all weights are equal."""
        self.keep = array("d")
        self.alias = array("q")

    def fill(self, members: Sequence[Backend]) -> None:
        """Set the members."""
        self.members = [backend for backend in members if backend.weight > 0]
        self.size = len(self.members)
        weights = [backend.weight for backend in self.members]
        self.even = len(set(weights)) < 2
        if not self.even:
            keep, alias = alias_table(weights)
            self.keep, self.alias = array("d", keep), array("q", alias)

    def draw(self) -> int:
        """The place in `members` of one of them, drawn by weight. There has to be one."""
        spot = self.dice() * self.size
        at = int(spot)
        if self.even or spot - at < self.keep[at]:
            return at
        return self.alias[at]

    def draw_other(self, first: int) -> int:
        """As `draw`, but not the place `first`. There have to be two."""
        if self.even:
            at = int(self.dice() * (self.size - 1))
            return at + 1 if at >= first else at
        for _ in range(8):
            at = self.draw()
            if at != first:
                return at
        at = int(self.dice() * (self.size - 1))  # nearly all of the weight is there: by chance among the others
        return at + 1 if at >= first else at
