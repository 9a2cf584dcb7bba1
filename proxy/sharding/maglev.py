"""Maglev: a table of entries that names take in turns, each in an order of entries of its own.

Of all placements it is the most even: up to 128 names, to one entry. In return, when a name goes, some keys of others
move too, since all later turns differ a little. More than half of those keys are in the entries that were taken last,
after long searches. So above 128 names the table is larger, and its last sixteenth is filled by rendezvous hashing,
where no key moves between others: of 1,000 names 2.0 times 1 / names of the keys move and not 7, and shares are even to
4 %. Above 1,024 it is the last two fifths: of 10,000 names 2.1 and not 3.7, and
shares are as even as those of a ring. Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load
Balancer", NSDI 2016; weights as in Envoy: a name with half the weight of another takes every second turn only.
"""

from __future__ import annotations

from collections.abc import Mapping

from .placement import Placement, counted
from .tables import maglev

MANY = 128
"""The number of names up to which the paper's table is used. Where it is exceeded, nearly every key moves."""
VERY_MANY = 1024
"""The number of names up to which REST is used. Where it is exceeded, a third of the keys moves."""
SIZE = 65_537
"""Entries of the paper's table: 128 KiB."""
LARGE = 1_048_583
"""Entries for more names: 2 MiB, built in about 40 ms, with very many names in 100. In larger tables fewer keys move,
but their construction holds up all requests."""
MOST = 5_000_011
"""Envoy's limit."""
REST = 1 / 16
"""The share of entries that is filled by rendezvous hashing, of many names."""
LARGE_REST = 0.4
"""And of very many. A larger share moves fewer keys and spreads them less evenly."""


class Maglev(Placement):
    """`count`: the number of names if all are present; `size`: that of entries, by default the one for `count`. Raises
    ValueError unless `size` is a prime number and at least the number of names."""

    def __init__(self, weights: Mapping[str, float], size: int = 0, count: int = 0) -> None:
        size, rest = extent_for(max(count, len(weights)), size)
        check_size(size)
        if len(weights) > size:
            raise ValueError(f"{len(weights)} names do not fit into a table of {size} entries")
        super().__init__(weights)
        self.owners = maglev(self.seeds, self.weights, size, rest)
        self.size = size

    def at(self, place: int) -> int:
        return self.owners[place % self.size]

    def shares(self) -> dict[str, float]:
        return counted(self.names, self.owners)


def extent_for(count: int, size: int = 0) -> tuple[int, int]:
    """The number of entries for `count` names, `size` by default, and how many of them go by rendezvous hashing."""
    if count <= MANY:
        return size or SIZE, 0
    size = size or LARGE
    return size, int(size * (REST if count <= VERY_MANY else LARGE_REST))


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
