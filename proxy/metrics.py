"""Counters and histograms.

Law of this file: counting is one addition to a cell of the scoreboard; reading happens outside the path of requests.
A worker writes only its own cells, so the numbers of a machine are sums over its slots, and the successor of a worker
continues its counters.
"""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple

from .errors import REASONS
from .scoreboard import (
    C_BROKEN_OFF,
    C_BYTES_IN,
    C_BYTES_OUT,
    C_CONNECTIONS,
    C_CONNECTIONS_OPEN,
    C_HISTOGRAMS,
    C_IN_FLIGHT,
    C_LINES_DROPPED,
    C_REASONS,
    C_REQUESTS,
    C_STATUSES,
    SLOT_CELLS,
    UPSTREAM_GAUGES,
)

OCTAVES = 36
STEPS = 4
"""Buckets per doubling: a quantile is at most a quarter too high."""
HISTOGRAM_CELLS = OCTAVES * STEPS
_OCTAVES, _STEPS = OCTAVES, STEPS  # C integers where this is compiled

REASON_CELLS = {reason.name: C_REASONS + index for index, reason in enumerate(REASONS)}

# What a worker counts for each upstream, in its row there
(
    U_REQUESTS,
    U_RETRIES,
    U_RETRIES_REFUSED,
    U_QUEUED,
    U_QUEUE_REFUSED,
    U_QUEUE_EXPIRED,
    U_PANICKED,
    U_BREAKER_OPENED,
    U_BREAKER_REFUSED,
    U_HEDGES,
    U_HEDGES_WON,
    U_HEDGES_REFUSED,
    U_BALANCER_FAILED,
    U_BALANCER_SLOW,
) = range(14)
U_ACTIVE, U_QUEUE_LENGTH, U_CEILING, U_OPEN_UNTIL = UPSTREAM_GAUGES[:4]
"""Requests now, and those of them that wait; the adaptive limit of the worker, 0 if there is none; until when its
circuit breaker is open (ns of CLOCK_MONOTONIC)."""
L_TAKEN, L_REFUSED, L_WOULD_REFUSE, L_REMOTE_FAILED = range(4)
"""What a worker counts for each rate limit, in its row there: requests let in, refused, let in by a dry run only, and
let in because the store of all machines did not answer."""
U_STATUSES = 16
"""Ten cells: responses by the hundreds of their status."""
U_REPORTS, U_REPORTS_REFUSED, U_REPORTS_STALE, U_PROBES, U_PROBES_ANSWERED = range(48, 53)
"""Reports of load: those taken in, those that could not be read, those that grew too old without another one; probes
sent, and answered in time."""
U_CONNECT, U_RELAY, U_FINISH, U_PICK, U_SEND = range(64, 64 + 5 * HISTOGRAM_CELLS, HISTOGRAM_CELLS)
"""Histograms: waiting for a connection, from pick to the response head, the whole request, waiting in the queue, and
from the connection to the response head."""


class Histogram:
    """Durations in buckets that grow by powers of two, four to a doubling, from 1 µs to 19 hours."""

    def __init__(self, cells: Any = None) -> None:
        self.cells = array("q", bytes(8 * HISTOGRAM_CELLS)) if cells is None else cells

    def observe(self, seconds: float) -> int:
        """Count one duration in seconds. Returns its cell, for `add` to histograms that count the same duration."""
        micros = int(seconds * 1e6)
        octave = 0
        if micros < 0:
            micros = 0
        while micros >= 2 * _STEPS:
            micros >>= 1
            octave += 1
        if micros >= _STEPS:  # octave k covers [4·2^k, 8·2^k) µs, and the first four cells 0 to 3 µs
            octave += 1
            micros -= _STEPS
        if octave >= _OCTAVES:
            octave = _OCTAVES - 1
        micros += octave * _STEPS
        self.cells[micros] += 1
        return micros

    def add(self, cell: int) -> None:
        """Count one duration of this cell."""
        self.cells[cell] += 1

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
    """The counters of a worker at one time."""

    connections: int
    connections_open: int
    requests: int
    in_flight: int
    bytes_in: int
    bytes_out: int
    statuses: dict[int, int]
    """Responses by the hundreds of their status."""
    reasons: dict[str, int]
    """Error responses of the proxy, and aborted requests, by reason."""
    p50: float
    p99: float


class Counters:
    """What one worker counts over all its connections, in the head of its slot (see scoreboard.py)."""

    def __init__(self, cells: Any = None) -> None:
        self.cells = array("q", bytes(8 * SLOT_CELLS)) if cells is None else cells
        start = C_HISTOGRAMS
        self.seconds = Histogram(memoryview(self.cells)[start : start + HISTOGRAM_CELLS])
        self.talkers: Any = None
        """The sample of the top talkers (telemetry/top_talkers.py), None while it is off."""
        self.until_sample = 1
        """Requests until the next one is sampled for it."""

    @property
    def connections(self) -> int:
        return int(self.cells[C_CONNECTIONS])

    @property
    def connections_open(self) -> int:
        return int(self.cells[C_CONNECTIONS_OPEN])

    @property
    def requests(self) -> int:
        return int(self.cells[C_REQUESTS])

    @property
    def in_flight(self) -> int:
        return int(self.cells[C_IN_FLIGHT])

    @property
    def reasons(self) -> dict[str, int]:
        """How often each reason was given, without those that never were."""
        return {name: int(self.cells[cell]) for name, cell in REASON_CELLS.items() if self.cells[cell]}

    def opened(self) -> None:
        """Count a connection."""
        self.cells[C_CONNECTIONS] += 1
        self.cells[C_CONNECTIONS_OPEN] += 1

    def closed(self) -> None:
        """Count the end of a connection."""
        self.cells[C_CONNECTIONS_OPEN] -= 1

    def began(self) -> None:
        """Count the begin of a request."""
        self.cells[C_IN_FLIGHT] += 1

    def finished(self, status: int, seconds: float, bytes_in: int, bytes_out: int) -> int:
        """Count one request that is over. Returns the cell of its duration (`Histogram.observe`)."""
        self.cells[C_REQUESTS] += 1
        self.cells[C_IN_FLIGHT] -= 1
        self.cells[C_BYTES_IN] += bytes_in
        self.cells[C_BYTES_OUT] += bytes_out
        self.cells[C_STATUSES + status // 100] += 1
        return self.seconds.observe(seconds)

    def reason(self, name: str) -> None:
        """Count one reason."""
        self.cells[REASON_CELLS[name]] += 1

    def broke_off(self, name: str) -> None:
        """Count one reason of an incomplete response, whose status was already sent."""
        self.cells[REASON_CELLS[name]] += 1
        self.cells[C_BROKEN_OFF] += 1

    def lines_dropped(self, count: int) -> None:
        """Count lines that are missing in the access log."""
        self.cells[C_LINES_DROPPED] += count

    def snapshot(self) -> Snapshot:
        """All numbers as they are now."""
        cells = self.cells
        statuses = {hundred: int(cells[C_STATUSES + hundred]) for hundred in range(10)}
        return Snapshot(
            self.connections,
            self.connections_open,
            self.requests,
            self.in_flight,
            int(cells[C_BYTES_IN]),
            int(cells[C_BYTES_OUT]),
            {hundred: count for hundred, count in statuses.items() if count},
            self.reasons,
            self.seconds.quantile(0.5),
            self.seconds.quantile(0.99),
        )
