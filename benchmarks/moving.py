"""How many keys move when one of N backends leaves, how even the others' shares are, and what a new table costs.

The same 400,000 keys are placed with all backends and without one of them; the mean over eight who leave. 1 / N of the
keys have to move, those of who has left: figures are multiples of that. Placements are made as the algorithms make
them, with the sizes that follow from N. `python -m benchmarks.moving` prints the table.
"""

from __future__ import annotations

import argparse
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from proxy.sharding import Maglev, Placement, Rendezvous, Ring
from proxy.sharding.ring import POINTS, unit_for
from proxy.sharding.tables import next_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Make = Callable[[Mapping[str, float]], Placement]
    MakeOf = Callable[[Mapping[str, float], int], Placement]

COUNTS = (3, 100, 1_000, 10_000)
KEYS = 400_000
LEAVERS = 8

PLACEMENTS: dict[str, MakeOf] = {
    "consistent_hash": lambda weights, count: Ring(weights, unit_for(POINTS, count)),
    "rendezvous": lambda weights, count: Rendezvous(weights),
    "maglev": lambda weights, count: Maglev(weights, count=count),
    "maglev, table 65537": lambda weights, count: Maglev(weights, 65_537, count),
}


class Result(NamedTuple):
    """`moved` and `foreign`, the keys of others among them, in multiples of 1 / N; the least and the greatest share, in
    multiples of the mean; milliseconds to make it; and its KiB."""

    moved: float
    foreign: float
    least: float
    greatest: float
    milliseconds: float
    kib: float


# --- what moves: the tests of placements count with it too ---


def hashes(count: int) -> list[int]:
    """Those of so many keys."""
    return [next_hash(n) for n in range(count)]


HASHES = hashes(20_000)
"""Keys enough for some hundred names."""


def enough_for(count: int) -> Sequence[int]:
    """Keys for so many names."""
    return HASHES if count < 1000 else hashes(10 * len(HASHES))


def equal(count: int) -> dict[str, float]:
    """So many names of the same weight."""
    return {f"10.0.{n // 256}.{n % 256}:80": 1.0 for n in range(count)}


def owners(placement: Placement, keys: Sequence[int] = HASHES) -> list[str]:
    """Whose each of the keys is, by their hashes."""
    names, at = placement.names, placement.at
    return [names[at(place)] for place in keys]


def moved(before: Iterable[str], after: Iterable[str], name: str = "") -> int:
    """How many keys have another owner, of those that are neither taken from `name` nor given to it."""
    return sum(old != new and name not in (old, new) for old, new in zip(before, after, strict=True))


def leaving(make: Make, count: int, keys: Sequence[int] = (), leavers: int = LEAVERS) -> tuple[float, float]:
    """What moves if one of `count` leaves, as a part of 1 / count: everything, and keys of others; the mean over some
    of those who may leave."""
    weights, keys = equal(count), keys or enough_for(count)
    before = owners(make(weights), keys)
    everything = foreign = 0
    chosen = list(weights)[:: max(1, count // leavers)][:leavers]
    for leaver in chosen:
        after = owners(make({name: weight for name, weight in weights.items() if name != leaver}), keys)
        everything += moved(before, after)
        foreign += moved(before, after, leaver)
    whole = len(keys) * len(chosen) / count
    return everything / whole, foreign / whole


def joining(make: Make, count: int) -> tuple[float, float]:
    """What moves if one comes to `count`, as a part of 1 / (count + 1): everything, and what it did not get."""
    weights, keys = equal(count), enough_for(count)
    before, after = owners(make(weights), keys), owners(make({**weights, "new": 1.0}), keys)
    whole = len(keys) / (count + 1)
    return moved(before, after) / whole, moved(before, after, "new") / whole


# --- the table ---


def measure(make: MakeOf, count: int, keys: Sequence[int], leavers: int = LEAVERS) -> Result:
    weights = equal(count)
    begin = perf_counter()
    whole = make(weights, count)
    took = perf_counter() - begin
    everything, foreign = leaving(lambda weights: make(weights, count), count, keys, leavers)
    shares = whole.shares().values()
    return Result(everything, foreign, min(shares) * count, max(shares) * count, took * 1000, size_of(whole) / 1024)


def size_of(placement: Placement) -> int:
    """Bytes of the tables that a lookup reads."""
    tables = [getattr(placement, name) for name in ("points", "starts", "owners") if hasattr(placement, name)]
    return sum(memoryview(table).nbytes for table in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keys that move when one of N backends leaves.")
    parser.add_argument("--keys", type=int, default=KEYS, help=f"keys that are placed (default: {KEYS})")
    parser.add_argument("--leavers", type=int, default=LEAVERS, help=f"how many leave (default: {LEAVERS})")
    arguments = parser.parse_args()
    keys = hashes(arguments.keys)
    print("| algorithm | N | moved, times 1/N | of others | least share | greatest share | made in ms | KiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, make in PLACEMENTS.items():
        for count in COUNTS:
            found = measure(make, count, keys, arguments.leavers)
            figures = (f"{figure:.2f}" for figure in found[:4])
            print(f"| `{name}` | {count:,} | {' | '.join(figures)} | {found.milliseconds:.1f} | {found.kib:,.0f} |")


if __name__ == "__main__":
    main()
