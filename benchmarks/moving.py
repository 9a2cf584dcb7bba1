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
    from collections.abc import Callable, Mapping

    Make = Callable[[Mapping[str, float], int], Placement]

COUNTS = (3, 100, 1_000, 10_000)
KEYS = 400_000
LEAVERS = 8

PLACEMENTS: dict[str, Make] = {
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


def measure(make: Make, count: int, keys: int = KEYS, leavers: int = LEAVERS) -> Result:
    weights = {f"10.0.{n // 256}.{n % 256}:80": 1.0 for n in range(count)}
    hashes = [next_hash(n) for n in range(keys)]
    begin = perf_counter()
    whole = make(weights, count)
    took = perf_counter() - begin
    before = owners(whole, hashes)
    moved = foreign = 0
    chosen = list(weights)[:: max(1, count // leavers)][:leavers]
    for leaver in chosen:
        after = owners(make({name: 1.0 for name in weights if name != leaver}, count), hashes)
        moved += sum(old != new for old, new in zip(before, after, strict=True))
        foreign += sum(old != new and old != leaver for old, new in zip(before, after, strict=True))
    unit = keys * len(chosen) / count
    shares = whole.shares().values()
    return Result(
        moved / unit, foreign / unit, min(shares) * count, max(shares) * count, took * 1000, size_of(whole) / 1024
    )


def owners(placement: Placement, hashes: list[int]) -> list[str]:
    names, at = placement.names, placement.at
    return [names[at(place)] for place in hashes]


def size_of(placement: Placement) -> int:
    """Bytes of the tables that a lookup reads."""
    tables = [getattr(placement, name) for name in ("points", "starts", "owners") if hasattr(placement, name)]
    return sum(memoryview(table).nbytes for table in tables)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keys that move when one of N backends leaves.")
    parser.add_argument("--keys", type=int, default=KEYS, help=f"keys that are placed (default: {KEYS})")
    parser.add_argument("--leavers", type=int, default=LEAVERS, help=f"how many leave (default: {LEAVERS})")
    arguments = parser.parse_args()
    print("| algorithm | N | moved, times 1/N | of others | least share | greatest share | made in ms | KiB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, make in PLACEMENTS.items():
        for count in COUNTS:
            found = measure(make, count, arguments.keys, arguments.leavers)
            figures = (f"{figure:.2f}" for figure in found[:4])
            print(f"| `{name}` | {count:,} | {' | '.join(figures)} | {found.milliseconds:.1f} | {found.kib:,.0f} |")


if __name__ == "__main__":
    main()
