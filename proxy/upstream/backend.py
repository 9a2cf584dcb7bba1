"""A backend: its configuration and its live state.

Law of this file: `BackendSpec` is configuration and never changes; `Backend` is live state, and outlives the
configuration that named it for as long as its address stays in that upstream. State that other workers read lies on
the scoreboard, each worker in a row of its own; the rest belongs to this worker alone.
"""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple

from ..scoreboard import (
    CONNECTIONS,
    CONNECTS,
    DOWN,
    EJECTED_FOR,
    EJECTED_UNTIL,
    FAILURES,
    HEALTH,
    IN_FLIGHT,
    READY,
    REPORTED_STATE,
    REPORTED_WEIGHT,
    REQUESTS,
    ROW,
    SINCE,
    STATE,
    WEIGHT,
    Scoreboard,
)
from .load.report import LoadReport
from .outlier import CONNECT


class BackendSpec(NamedTuple):
    """The configuration of one backend. `path` is set for a Unix socket, `host` and `port` otherwise."""

    address: str
    host: str
    port: int
    path: str
    weight: int = 1
    region: str | None = None
    priority: int = 0
    """0 is used first; a higher one as far as the lower ones lack capacity."""
    zone: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    """Sorted pairs such as ("version", "canary")."""


class Backend:
    """The live state of one backend: its rows of the scoreboard, and the pool of connections to it.

    `weight` is the one for balancing algorithms: the configured one, changed by operators, by what the backend reports,
    and by slow start. Without a board its rows are private memory.
    """

    def __init__(self, spec: BackendSpec, rows: Any = None, board: Scoreboard | None = None) -> None:
        self.spec = spec
        self.name = spec.address
        self.weight = spec.weight
        self.scale = 1
        """The factor that makes `weight` whole: a weight of 10 at a scale of 10 is a weight of 1."""
        self.board = board
        self.rows = array("q", bytes(8 * 2 * ROW)) if rows is None else rows
        """The rows of all slots; that of this worker begins at `own`."""
        self.own = ROW * (board.slot if board is not None else 1)
        self.pool: Any = None
        self.added = 0.0
        """When it joined a group that was already serving (seconds, monotonic); 0 if it was there from the start."""
        # consecutive failures that this worker sees (passive_health.py)
        self.errors_in_row = 0
        self.gateway_in_row = 0
        self.connects_in_row = 0
        self.times_ejected = 0.0
        self.report: LoadReport | None = None
        """The last load report; None once it is too old."""
        self.reported_at = 0.0
        """The time of that report (seconds, monotonic)."""
        self.healthy = True
        """Its health as of the last refresh of its group; in panic, unhealthy backends are picked too."""
        self.learned: dict[str, Any] = {}
        """The data of balancing algorithms about it, by their names: it outlives a change of the algorithm."""

    @property
    def in_flight(self) -> int:
        """Requests that this worker has at the backend."""
        return int(self.rows[self.own + IN_FLIGHT])

    @in_flight.setter
    def in_flight(self, value: int) -> None:
        self.rows[self.own + IN_FLIGHT] = value

    @property
    def requests(self) -> int:
        """Requests that this slot has sent to the backend."""
        return int(self.rows[self.own + REQUESTS])

    @property
    def failures(self) -> int:
        """Requests of this slot without a response."""
        return int(self.rows[self.own + FAILURES])

    def load(self) -> int:
        """Requests that all workers have at the backend."""
        board = self.board
        if board is None or board.used <= 2:
            return self.rows[self.own + IN_FLIGHT]
        total = 0
        at = ROW + IN_FLIGHT
        end = board.used * ROW
        while at < end:
            total += self.rows[at]
            at += ROW
        return total

    def count(self, cell: int) -> None:
        """Add one to a cell of this worker's row."""
        self.rows[self.own + cell] += 1

    def pool_size(self, size: int, opened: bool) -> None:
        """Set the number of connections of this worker; `opened` counts a new one."""
        self.rows[self.own + CONNECTIONS] = size
        if opened:
            self.rows[self.own + CONNECTS] += 1

    # --- the state that supervisor, operators and other workers write; read after a change, never per request ---

    def in_rotation(self) -> bool:
        """Whether it is neither drained nor in maintenance, by an operator or by its own report."""
        return bool(self.rows[STATE] == READY and self.rows[REPORTED_STATE] == READY)

    def healthy_at(self, now_ns: int) -> bool:
        """Whether it has passed its active checks and is not ejected, by any process, at time `now_ns`."""
        return bool(self.rows[HEALTH] != DOWN) and self.ejected_until() <= now_ns

    def refuses(self, now_ns: int) -> bool:
        """Whether it is ejected because it could not be connected to."""
        rows = self.rows
        starts = range(0, len(rows), ROW)
        return any(rows[at + EJECTED_UNTIL] > now_ns and rows[at + EJECTED_FOR] == CONNECT for at in starts)

    def ejected_until(self) -> int:
        """The end of the last ejection (ns of CLOCK_MONOTONIC); 0 without one."""
        return max(int(until) for until in self.rows[EJECTED_UNTIL::ROW])

    def warm_since(self) -> float:
        """The begin of its slow start (seconds, monotonic); 0 for a member from the start."""
        return max(int(self.rows[SINCE]) / 1e9, self.ejected_until() / 1e9, self.added)

    def wanted_weight(self) -> float:
        """The configured weight, or the operator's, times the capacity that the backend reports."""
        chosen, reported = int(self.rows[WEIGHT]), int(self.rows[REPORTED_WEIGHT])
        weight: float = chosen - 1 if chosen else self.spec.weight
        return weight * (reported - 1) / 100 if reported else weight

    def __repr__(self) -> str:
        return f"<Backend {self.name} weight={self.weight} in_flight={self.in_flight}>"
