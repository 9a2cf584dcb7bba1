"""How many keys move: the same keys placed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from proxy.sharding import Placement
from proxy.sharding.tables import hash_of

HASHES = [hash_of(b"key-%d" % n) for n in range(20_000)]
MANY_HASHES = [hash_of(b"key-%d" % n) for n in range(200_000)]
"""For thousands of names."""

Make = Callable[[Mapping[str, float]], Placement]


def equal(count: int) -> dict[str, float]:
    """So many names of the same weight."""
    return {f"10.0.{n // 256}.{n % 256}:80": 1.0 for n in range(count)}


def owners(placement: Placement, hashes: Sequence[int] = HASHES) -> list[str]:
    """Whose each of the keys is."""
    names = placement.names
    return [names[placement.at(place)] for place in hashes]


def moved(before: Iterable[str], after: Iterable[str], name: str = "") -> int:
    """How many keys have another owner, of those that are neither taken from `name` nor given to it."""
    return sum(old != new and name not in (old, new) for old, new in zip(before, after, strict=True))


def leaving(make: Make, count: int, leavers: int = 8) -> tuple[float, float]:
    """What moves if one of `count` leaves, as a part of 1 / count: everything, and keys of others; the mean over some
    of those who may leave."""
    weights = equal(count)
    hashes = HASHES if count < 1000 else MANY_HASHES
    before = owners(make(weights), hashes)
    everything = foreign = 0
    chosen = list(weights)[:: max(1, count // leavers)][:leavers]
    for leaver in chosen:
        after = owners(make({name: weight for name, weight in weights.items() if name != leaver}), hashes)
        everything += moved(before, after)
        foreign += moved(before, after, leaver)
    whole = len(hashes) * len(chosen) / count
    return everything / whole, foreign / whole


def joining(make: Make, count: int) -> tuple[float, float]:
    """What moves if one comes to `count`, as a part of 1 / (count + 1): everything, and what it did not get."""
    weights = equal(count)
    hashes = HASHES if count < 1000 else MANY_HASHES
    before, after = owners(make(weights), hashes), owners(make({**weights, "new": 1.0}), hashes)
    whole = len(hashes) / (count + 1)
    return moved(before, after) / whole, moved(before, after, "new") / whole
