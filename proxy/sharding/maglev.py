"""Maglev: a table of entries that names have taken in turns, each going through the entries in an order of its own.

Shares are as even as can be, to one entry; in return, when a name goes, some keys of others move too: some 0.6 % of all
at the usual size, however many names there are, since everybody's later turns come out a little differently. Source:
Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016; weights as in Envoy: who has
half the weight of another takes every second turn only.
"""

from __future__ import annotations

from collections.abc import Mapping

from .placement import Placement, counted
from .tables import maglev

SIZE = 65_537
"""The paper's: even to 1 % up to about 650 names."""
MOST = 5_000_011
"""Envoy's limit."""


class Maglev(Placement):
    """`size` is the number of entries. Raises ValueError unless it is a prime number that every name fits in."""

    def __init__(self, weights: Mapping[str, float], size: int = SIZE) -> None:
        check_size(size)
        if len(weights) > size:
            raise ValueError(f"{len(weights)} names do not fit into a table of {size} entries")
        super().__init__(weights)
        self.owners = maglev(self.seeds, self.weights, size)
        self.size = size

    def at(self, place: int) -> int:
        return self.owners[place % self.size]

    def shares(self) -> dict[str, float]:
        return counted(self.names, self.owners)


def check_size(size: int) -> None:
    """Raises ValueError unless a table may have this size: only in one of prime size does each order have every entry
    once."""
    if not isinstance(size, int) or not 3 <= size <= MOST:
        raise ValueError(f"must be a prime number from 3 to {MOST}, not {size!r}")
    if any(size % divisor == 0 for divisor in range(2, int(size**0.5) + 1)):
        raise ValueError(f"must be a prime number, for instance {next_prime(size)}, not {size}")


def next_prime(number: int) -> int:
    """The smallest prime number that is not below this one."""
    while any(number % divisor == 0 for divisor in range(2, int(number**0.5) + 1)):
        number += 1
    return number
