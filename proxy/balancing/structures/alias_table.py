"""Random places by weight, from a generator of its own: cheap enough for eight draws in one pick.

Law of this file: a draw makes no object and calls nothing of Python's; `fill` does the rest. The numbers are those of
xorshift64* (Marsaglia 2003, Vigna 2016), begun at a random place or, with a seed, always at the same one; unequal
weights go by the alias table of sampling.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from .sampling import alias_table, dice

MASK = 0xFFFFFFFFFFFFFFFF
LOW = 0xFFFFFFFF
MULTIPLIER = 0x2545F4914F6CDD1D
REDRAWS = 4


class AliasTable:
    """Draws from the places 0 to `size` - 1."""

    def __init__(self, seed: int | None = None) -> None:
        self.state = int(dice(seed)() * 2**53) + 1
        self.size = 0
        self.even = True
        """Whether all weights are equal."""
        self.keep = array("d", [0.0])
        self.alias = array("q", [0])
        for _ in range(8):  # seeds that lie side by side begin far apart
            self.number()

    def fill(self, weights: Sequence[int]) -> None:
        """Set the weights; none of them is 0."""
        self.size = len(weights)
        self.even = len(set(weights)) < 2
        if not self.even:
            keep, alias = alias_table(weights)
            self.keep = array("d", [each * 2**32 for each in keep])
            self.alias = array("q", alias)

    def number(self) -> int:
        """The next random number of 32 bits."""
        x = self.state
        x ^= x >> 12
        x ^= (x << 25) & MASK
        x ^= x >> 27
        self.state = x
        return ((x * MULTIPLIER) & MASK) >> 32

    def draw(self) -> int:
        """A place, drawn by weight. There has to be one."""
        spot = self.number() * self.size
        at = spot >> 32
        if self.even or (spot & LOW) < self.keep[at]:
            return at
        return self.alias[at]

    def draw_other(self, than: int) -> int:
        """As `draw`, but another place, unless nearly all of the weight is at that one. There have to be two."""
        if self.even:
            at = (self.number() * (self.size - 1)) >> 32
            return at + 1 if at >= than else at
        at = self.draw()
        left = REDRAWS
        while at == than and left > 0:
            at = self.draw()
            left -= 1
        return at
