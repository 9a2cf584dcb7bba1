"""Counters and histograms.

Law of this file: counting is one addition to a cell; reading is somebody else's work, off the path. Cells are
unsigned 64-bit numbers in one flat array, so that they can later lie in memory that processes share.
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

OCTAVES = 36
STEPS = 4
"""Buckets per doubling: a quantile is at most a quarter too high."""


class Histogram:
    """Durations in buckets that grow by powers of two, four to a doubling, from 1 µs to 19 hours."""

    def __init__(self) -> None:
        self.cells = array("Q", bytes(8 * OCTAVES * STEPS))

    def observe(self, seconds: float) -> None:
        """Count one duration in seconds."""
        micros = int(seconds * 1e6)
        octave = 0
        if micros < 0:
            micros = 0
        while micros >= 2 * STEPS:
            micros >>= 1
            octave += 1
        if micros >= STEPS:  # octave k covers [4·2^k, 8·2^k) µs, and the first four cells 0 to 3 µs
            octave += 1
            micros -= STEPS
        if octave >= OCTAVES:
            octave = OCTAVES - 1
        self.cells[octave * STEPS + micros] += 1

    @staticmethod
    def bound(cell: int) -> float:
        """The upper bound of a cell, in seconds."""
        octave, step = divmod(cell, STEPS)
        micros = step + 1 if octave == 0 else (STEPS + step + 1) << (octave - 1)
        return micros / 1e6

    def quantile(self, part: float) -> float:
        """The duration in seconds below which `part` (0 to 1) of the observations lie; 0 if there are none."""
        total = sum(self.cells)
        seen = 0
        for cell, count in enumerate(self.cells):
            seen += count
            if count and seen >= part * total:
                return self.bound(cell)
        return 0.0


class Snapshot(NamedTuple):
    """What a worker has done so far."""

    connections: int
    connections_open: int
    requests: int
    in_flight: int
    bytes_in: int
    bytes_out: int
    statuses: dict[int, int]
    """Answers by the hundreds of their status."""
    reasons: dict[str, int]
    """Answers that the proxy made itself, and requests given up, by reason."""
    p50: float
    p99: float


class Counters:
    """What one worker counts over all its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.connections_open = 0
        self.requests = 0
        self.in_flight = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.statuses = array("Q", bytes(8 * 10))
        self.reasons: dict[str, int] = {}
        self.seconds = Histogram()

    def finished(self, status: int, seconds: float) -> None:
        """Count one request that is over."""
        self.requests += 1
        self.in_flight -= 1
        self.statuses[status // 100] += 1
        self.seconds.observe(seconds)

    def reason(self, name: str) -> None:
        """Count one reason."""
        self.reasons[name] = self.reasons.get(name, 0) + 1

    def snapshot(self) -> Snapshot:
        """All numbers as they are now."""
        return Snapshot(
            self.connections,
            self.connections_open,
            self.requests,
            self.in_flight,
            self.bytes_in,
            self.bytes_out,
            {hundred: count for hundred, count in enumerate(self.statuses) if count},
            dict(self.reasons),
            self.seconds.quantile(0.5),
            self.seconds.quantile(0.99),
        )
