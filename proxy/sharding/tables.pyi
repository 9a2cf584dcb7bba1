"""Types of the tables, for checkers and editors; tables.pyx documents them."""

from array import array

def hash_of(key: bytes) -> int:
    """64 bits of a key."""

def next_hash(number: int) -> int:
    """The next of a sequence of 64-bit numbers."""

def ring(seeds: array[int], counts: array[int]) -> tuple[array[int], array[int], int]:
    """Points and their owners, where the points of each bucket begin, and the shift from a place to its bucket."""

def maglev(seeds: array[int], weights: array[float], size: int, rest: int) -> array[int]:
    """The owner of each entry, `rest` of them without turns."""

def darts(seeds: array[int], weights: array[float], bits: int) -> array[int]:
    """The owner of each slot."""

def tally(owners: array[int], count: int) -> array[int]:
    """How many entries each owner has."""

def arcs(points: array[int], count: int) -> array[float]:
    """The part of a ring that each owner has."""
