"""Tower's table: what each algorithm makes of ten endpoints that are a thousand times apart, without waiting for them.

The set-up is that of tower-balance's demo (tower-rs/tower, pull request 76, tower-balance/examples/demo.rs): 50,000
requests, 50 at a time, ten endpoints of any capacity; an endpoint answers after a whole number of milliseconds, drawn
evenly from 0 up to its own maximum of 1, 10 (four of them), 100 (four) or 1000, excluded; no failures. The timer there
goes by milliseconds, so each response comes up to one later. That demo says of its own algorithms:

    P2C + peak-EWMA     wall 15 s   p50 5 ms   p90 56 ms   p95  78 ms   p99  96 ms   p99.9 105 ms
    P2C + least loaded  wall 18 s   p50 5 ms   p90 57 ms   p95  80 ms   p99  98 ms   p99.9 857 ms
    round robin         wall 72 s   p50 9 ms   p90 98 ms   p95 496 ms   p99 906 ms   p99.9 988 ms

Here the clock is a number: a run is the same each time for a seed. `python -m benchmarks.tower` prints the table.
"""

from __future__ import annotations

import argparse
import statistics
from heapq import heappop, heappush
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.balancing import ALGORITHMS
from proxy.balancing.standalone import StandalonePicker

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUESTS = 50_000
CONCURRENCY = 50
MOST_MS = (1, 10, 10, 10, 10, 100, 100, 100, 100, 1000)
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


class Result(NamedTuple):
    """What became of a run: its length in seconds, latencies in milliseconds, and the share of each endpoint."""

    wall: float
    quantiles: tuple[float, ...]
    shares: tuple[float, ...]


def run(algorithm: str, seed: int, requests: int = REQUESTS, **params: object) -> Result:
    """Send all requests, each as soon as there are fewer than CONCURRENCY."""
    dice = Random(seed)
    params["seed"] = seed
    now = 0.0
    picker = StandalonePicker(algorithm, [f"endpoint-{n}" for n in range(len(MOST_MS))], clock=lambda: now, **params)
    places = {name: n for n, name in enumerate(picker.backends)}
    counts = [0] * len(MOST_MS)
    flying: list[tuple[float, int, object]] = []
    took = []
    for number in range(requests + CONCURRENCY):
        if number >= CONCURRENCY:
            now, _, request = heappop(flying)
            request.answered()  # type: ignore[attr-defined]
        if number < requests:
            picked = picker.pick(b"%d" % number)
            assert picked is not None
            place = places[picked.backend.name]
            counts[place] += 1
            seconds = (dice.randrange(MOST_MS[place]) + dice.random()) / 1000
            took.append(seconds * 1000)
            heappush(flying, (now + seconds, number, picked))
    took.sort()
    return Result(
        now,
        tuple(took[int(quantile * (requests - 1))] for quantile in QUANTILES),
        tuple(count / requests for count in counts),
    )


def row(results: Sequence[Result]) -> str:
    """The means over seeds, and the spread of the last quantile."""
    walls = statistics.mean(result.wall for result in results)
    means = [statistics.mean(values) for values in zip(*(result.quantiles for result in results), strict=True)]
    last = [result.quantiles[-1] for result in results]
    cells = " | ".join(f"{mean:.0f}" for mean in means)
    return f"{walls:.1f} | {cells} | {min(last):.0f} to {max(last):.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Tower's table, simulated.")
    parser.add_argument("--seeds", type=int, default=5, help="runs of each algorithm (default: 5)")
    parser.add_argument(
        "--choices", type=int, nargs="*", default=[2, 3, 4], help="other choices of latency, least_time"
    )
    arguments = parser.parse_args()
    cases: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in ALGORITHMS]
    cases += [(name, {"choices": d}) for name in ("latency", "least_time") for d in arguments.choices]
    print("| algorithm | wall s | p50 ms | p90 | p95 | p99 | p99.9 | p99.9 of the seeds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, params in cases:
        results = [run(name, seed, **params) for seed in range(1, arguments.seeds + 1)]
        print(f"| `{name}`{''.join(f', {key} {value}' for key, value in params.items())} | {row(results)} |")


if __name__ == "__main__":
    main()
