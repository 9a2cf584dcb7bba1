"""What a benchmark run leaves behind: plain records, the ratios between them, and their JSON.

Law of this file: ratios are taken within a round, between runs that followed each other, and only then summed
up as median, lowest and highest. A failed run has no figures.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Run:
    """One load on one peer in one round. Shares are parts of one core; failure is None when all went well.

    foreign is what neither the proxy nor, on the other core, load and origin used: other work on the machine.
    requests were answered within the measured seconds; reached are those that the origin saw from start to
    end of the generator (with its warm-up), over which the CPU time was read.
    """

    load: str
    peer: str
    round: int
    requests: int = 0
    reached: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    p50_us: float = 0.0
    p99_us: float = 0.0
    max_us: float = 0.0
    peer_core_busy: float = 0.0
    load_core_busy: float = 0.0
    peer_core_foreign: float = 0.0
    load_core_foreign: float = 0.0
    failure: str | None = None

    @property
    def foreign(self) -> float:
        return max(self.peer_core_foreign, self.load_core_foreign)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU time of the proxy per request, in microseconds."""
        return self.cpu_seconds / self.reached * 1e6


Measure = Callable[[Run], float]
MEASURES: dict[str, Measure] = {
    "rate": lambda run: run.rate,
    "cpu_us": lambda run: run.cpu_us,
    "p50_us": lambda run: run.p50_us,
    "p99_us": lambda run: run.p99_us,
}


@dataclass(frozen=True, slots=True)
class Spread:
    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(slots=True)
class Results:
    started: str
    machine: dict[str, str]
    method: dict[str, str]
    baseline: str
    peers: dict[str, str]
    absent: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)

    def of(self, load: str, peer: str) -> list[Run]:
        return [run for run in self.runs if run.load == load and run.peer == peer and run.failure is None]

    def failures(self) -> list[Run]:
        return [run for run in self.runs if run.failure is not None]

    def loads(self) -> list[str]:
        return list(dict.fromkeys(run.load for run in self.runs))

    def spread(self, load: str, peer: str, measure: str) -> Spread | None:
        values = [MEASURES[measure](run) for run in self.of(load, peer)]
        return Spread.of(values) if values else None

    def ratio(self, load: str, peer: str, measure: str, base: str | None = None) -> Spread | None:
        """Return a peer's measure over that of the baseline (or of another peer), round by round."""
        beside = {run.round: run for run in self.of(load, base or self.baseline)}
        value = MEASURES[measure]
        values = [value(run) / value(beside[run.round]) for run in self.of(load, peer) if run.round in beside]
        return Spread.of(values) if values else None

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"format": FORMAT, **dataclasses.asdict(self), "summary": self.summary()}
        path.write_text(json.dumps(record, indent=1) + "\n")

    def summary(self) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
        """Return median, low and high of every measure and ratio: load, peer, measure."""
        return {load: {peer: self.summary_of(load, peer) for peer in self.peers} for load in self.loads()}

    def summary_of(self, load: str, peer: str) -> dict[str, dict[str, float]]:
        spreads = {measure: self.spread(load, peer, measure) for measure in MEASURES}
        spreads |= {f"{measure}_ratio": self.ratio(load, peer, measure) for measure in MEASURES}
        return {name: dataclasses.asdict(spread) for name, spread in spreads.items() if spread}


def load_results(path: Path) -> Results:
    record = json.loads(path.read_text())
    if record.pop("format") != FORMAT:
        raise ValueError(f"{path} is of another format than {FORMAT}")
    record.pop("summary")
    record["runs"] = [Run(**run) for run in record["runs"]]
    return Results(**record)
