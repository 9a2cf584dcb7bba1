"""The scoreboard: a block of memory, shared by the processes of one proxy, with rows of numbers for each of them.

Law of this file: every cell has one writer, so there are no locks, and a process that is killed leaves none held;
all processes read all cells, and each read is atomic (aligned 64-bit words). The only exceptions are the buckets of
rate limits, which all workers change by compare-and-swap (limits/atomic.pyx), and the sessions of sticky upstreams,
where the last one to write is right (features/sticky/sessions.py). Slot 0 belongs to the supervisor, the others to one
worker each; the successor of a killed worker goes on in its slot. A process that serves alone has the same board in
memory of its own. The memory is a sparse file without a name: what is never written costs nothing.

Cells are signed 64-bit numbers, in this order: the head of each slot, the rows of each backend (those of all slots
side by side), the rows of each upstream (likewise), the rate limits' buckets, and the sessions.
"""

from __future__ import annotations

import mmap
import os
from time import monotonic_ns

from .errors import REASONS, BoardFull

CELL = 8
"""Bytes of a cell."""

# The head of a slot. What it counts is named in metrics.py.
PID, STARTED, BEAT, EPOCH = range(4)
"""Process id; since when, and when it was last seen alive (ns of CLOCK_MONOTONIC); changes to the states it sets."""
USED = 4
"""In the supervisor's head: how many slots are in use."""
SECRET = 5
"""In the supervisor's head: a random number that clients cannot know (see limits/rate.py)."""
COUNTERS = 8
"""Where the counters of a worker begin."""
SLOT_CELLS = 4096

# A row that a worker writes about a backend
(
    IN_FLIGHT,
    REQUESTS,
    RESPONSES,
    SERVER_ERRORS,
    GATEWAY_ERRORS,
    FAILURES,
    RETRIES,
    CONNECTS,
    CONNECT_FAILURES,
    CONNECTIONS,
    MICROSECONDS,
) = range(11)
# Cells that every slot writes, the supervisor's too
EJECTED_UNTIL, EJECTIONS, EJECTED_FOR = 11, 12, 13
"""Until when (ns), how often so far, and why: an index into `EJECTION_CAUSES`."""
# The row that the supervisor writes about it
HEALTH, STATE, REPORTED_STATE, WEIGHT, REPORTED_WEIGHT, SINCE = range(6)
"""Active health; the states set by an operator and by the backend itself; the operator's weight plus 1, 0 for none, and
the reported one in percent, likewise; since when it is up again (ns)."""
REPORT = range(6, 10)
REPORT_AT = 14
"""The polled load report of a backend (upstream/load/sources.py), and its time (ns); 0 for none."""
ROW = 16

UNKNOWN, UP, DOWN = range(3)
"""Values of HEALTH."""
READY, DRAIN, MAINT = range(3)
"""Values of STATE and REPORTED_STATE."""
STATES = ("ready", "drain", "maint")
EJECTION_CAUSES = ("", "connect", "consecutive_5xx", "consecutive_gateway", "failure_percentage", "success_rate")

UPSTREAM_ROW = 800
"""A worker's row about an upstream: counters (see metrics.py), then histograms."""
UPSTREAM_GAUGES = range(32, 40)
"""Those of its cells that are gauges, reset with the end of the worker."""

MOST_BACKENDS = 16_384
MOST_UPSTREAMS = 1024
BUCKET_CELLS = 2 * 262_144
SESSION_CELLS = 1_048_576
"""Sessions that can be remembered (features/sticky/sessions.py)."""


class Directory:
    """The assignment of rows to keys. The supervisor assigns them and sends them to the workers; a process that serves
    alone assigns its own."""

    def __init__(self, capacity: int, what: str) -> None:
        self.capacity = capacity
        self.what = what
        self.rows: dict[str, int] = {}
        self.free: list[int] = []
        self.used = 0

    def row(self, key: str) -> int:
        """The row of `key`, a new one if it has none. Raises BoardFull."""
        found = self.rows.get(key)
        if found is None:
            if not self.free and self.used == self.capacity:
                raise BoardFull(f"more than {self.capacity} {self.what} at a time")
            if self.free:
                found = self.free.pop()
            else:
                found = self.used
                self.used += 1
            self.rows[key] = found
        return found

    def release(self, key: str) -> int | None:
        """Free the row of `key`, and return it; no process may write there any more."""
        row = self.rows.pop(key, None)
        if row is not None:
            self.free.append(row)
        return row

    def replace(self, rows: dict[str, int]) -> None:
        """Adopt the assignment of the supervisor."""
        self.rows = dict(rows)
        self.used = max(rows.values(), default=-1) + 1
        self.free = []


class Scoreboard:
    """The shared memory as seen by one process: the cells, and the index of its slot."""

    def __init__(self, memory: mmap.mmap, slots: int, slot: int, fd: int) -> None:
        self.slots = slots
        self.slot = slot
        self.used = slots
        """Slots that are in use, the supervisor's included: what lies behind them is not worth adding up."""
        self.fd = fd
        """The file, to be inherited by other processes; -1 if there is none."""
        self.cells = memoryview(memory).cast("q")
        self.backends = Directory(MOST_BACKENDS, "backends")
        self.upstreams = Directory(MOST_UPSTREAMS, "upstreams")
        self._backends = slots * SLOT_CELLS
        self._upstreams = self._backends + MOST_BACKENDS * slots * ROW
        self._buckets = self._upstreams + MOST_UPSTREAMS * slots * UPSTREAM_ROW
        self._sessions = self._buckets + BUCKET_CELLS

    # --- parts ---

    def slot_head(self, slot: int) -> memoryview:
        """The cells of a slot that concern it as a whole."""
        return self.cells[slot * SLOT_CELLS : (slot + 1) * SLOT_CELLS]

    def backend_rows(self, upstream: str, address: str) -> memoryview:
        """The rows of all slots about a backend: that of slot s begins at s * ROW. Raises BoardFull."""
        start = self._backends + self.backends.row(f"{upstream}\n{address}") * self.slots * ROW
        return self.cells[start : start + self.slots * ROW]

    def upstream_rows(self, upstream: str) -> memoryview:
        """The rows of all slots about an upstream: that of slot s begins at s * UPSTREAM_ROW. Raises BoardFull."""
        start = self._upstreams + self.upstreams.row(upstream) * self.slots * UPSTREAM_ROW
        return self.cells[start : start + self.slots * UPSTREAM_ROW]

    def limit_row(self, name: str) -> memoryview:
        """This process's row about a rate limit; it is kept among those of the upstreams. Raises BoardFull."""
        return self.upstream_rows(limit_key(name))[self.slot * UPSTREAM_ROW : (self.slot + 1) * UPSTREAM_ROW]

    def secret(self) -> int:
        """The random number of this board."""
        return int(self.cells[SECRET])

    def buckets(self) -> memoryview:
        """The memory of the rate limits."""
        return self.cells[self._buckets : self._buckets + BUCKET_CELLS]

    def set_used(self, used: int) -> None:
        """Set the number of slots in use. Called by the supervisor only."""
        self.cells[USED] = used
        self.refresh()

    def refresh(self) -> None:
        """Read the number of slots in use. Once per tick."""
        self.used = self.cells[USED] or self.slots

    def sessions(self) -> memoryview:
        """The memory of sessions."""
        return self.cells[self._sessions : self._sessions + SESSION_CELLS]

    # --- life of a slot ---

    def take_slot(self, pid: int) -> None:
        """This process begins to write in its slot: what its predecessor had in flight died with it."""
        head = self.slot_head(self.slot)
        head[PID] = pid
        head[STARTED] = head[BEAT] = monotonic_ns()
        self.clear_in_flight(self.slot)

    def beat(self) -> None:
        """This process is alive."""
        self.cells[self.slot * SLOT_CELLS + BEAT] = monotonic_ns()

    def last_beat(self, slot: int) -> int:
        """When the process of a slot was last alive (ns of CLOCK_MONOTONIC)."""
        return int(self.cells[slot * SLOT_CELLS + BEAT])

    def clear_in_flight(self, slot: int) -> None:
        """The process of a slot is gone, and with it what it had in flight, its connections and its ejections."""
        head = self.slot_head(slot)
        for cell in GAUGES:
            head[cell] = 0
        for row in range(self.backends.used):
            start = self._backends + (row * self.slots + slot) * ROW
            self.cells[start + IN_FLIGHT] = self.cells[start + CONNECTIONS] = 0
            self.cells[start + EJECTED_UNTIL] = 0
        for row in range(self.upstreams.used):
            start = self._upstreams + (row * self.slots + slot) * UPSTREAM_ROW
            for cell in UPSTREAM_GAUGES:
                self.cells[start + cell] = 0
        self.changed(slot)

    def changed(self, slot: int) -> None:
        """A state in the rows of this slot has changed: the others read them again at their next tick."""
        self.cells[slot * SLOT_CELLS + EPOCH] += 1

    def epoch(self) -> int:
        """A number that differs as soon as any slot has changed a state."""
        cells = self.cells
        return sum(cells[slot * SLOT_CELLS + EPOCH] for slot in range(self.slots))

    def forget_backend(self, upstream: str, address: str) -> None:
        """A backend is gone for good: its rows are cleared for the next one."""
        row = self.backends.release(f"{upstream}\n{address}")
        if row is not None:
            start = self._backends + row * self.slots * ROW
            for cell in range(start, start + self.slots * ROW):
                self.cells[cell] = 0

    def forget_unused(self, keep: set[str]) -> None:
        """Free the rows of backends that are not in `keep`, once no worker has anything to do with them any more."""
        for key in self.backends.rows.keys() - keep:
            start = self._backends + self.backends.rows[key] * self.slots * ROW
            rows = range(start, start + self.slots * ROW, ROW)
            if not any(self.cells[row + IN_FLIGHT] or self.cells[row + CONNECTIONS] for row in rows[1:]):
                self.forget_backend(*key.split("\n"))


def limit_key(name: str) -> str:
    """What a rate limit is called in the directory of upstreams; no upstream can have such a name."""
    return f"rate limit\n{name}"


# The counters of a worker, from COUNTERS on
(
    C_CONNECTIONS,
    C_CONNECTIONS_OPEN,
    C_REQUESTS,
    C_IN_FLIGHT,
    C_BYTES_IN,
    C_BYTES_OUT,
    C_BROKEN_OFF,
    C_LINES_DROPPED,
) = range(COUNTERS, COUNTERS + 8)
"""The last two: responses that ended incomplete, with a status below 500; lines of the access log that were dropped."""
C_STATUSES = COUNTERS + 8
"""Ten cells: responses by the hundreds of their status."""
C_REASONS = COUNTERS + 24
"""A cell for each reason, in the order of errors.REASONS."""
C_HISTOGRAMS = 512
"""Where the histograms begin, one after another, in the order of metrics.TIMES."""
C_TRACES_KEPT = 1024
"""A cell for each of tracing.trace.WHY: traces that were kept, by what for."""
C_TRACES_DROPPED, C_TRACES_EXPORTED, C_TRACES_FAILED = range(C_TRACES_KEPT + 8, C_TRACES_KEPT + 11)
"""Kept traces that found the buffer full, that the collector has, that it does not have."""
GAUGES = (C_CONNECTIONS_OPEN, C_IN_FLIGHT)
assert C_REASONS + len(REASONS) <= C_HISTOGRAMS


def _cells(slots: int) -> int:
    per_slot = SLOT_CELLS + MOST_BACKENDS * ROW + MOST_UPSTREAMS * UPSTREAM_ROW
    return slots * per_slot + BUCKET_CELLS + SESSION_CELLS


def create(slots: int) -> Scoreboard:
    """A board in memory that other processes can map, seen from slot 0. `slots` counts the supervisor's too."""
    fd = os.memfd_create("qantara-scoreboard", os.MFD_CLOEXEC)
    os.ftruncate(fd, _cells(slots) * CELL)
    return _secret(attach(fd, slots, 0))


def _secret(board: Scoreboard) -> Scoreboard:
    board.cells[SECRET] = int.from_bytes(os.urandom(8), "little", signed=True)
    return board


def attach(fd: int, slots: int, slot: int) -> Scoreboard:
    """Map a board that another process has made."""
    return Scoreboard(mmap.mmap(fd, _cells(slots) * CELL), slots, slot, fd)


def alone() -> Scoreboard:
    """A board for one process that is supervisor and worker in one: it has slot 1."""
    memory = mmap.mmap(-1, _cells(2) * CELL, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return _secret(Scoreboard(memory, 2, 1, -1))
