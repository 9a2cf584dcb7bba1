"""Least connections: of all members, the one with the fewest requests in flight for its weight.

Exact, and without a scan: members are in a heap by load / weight, and an event moves the one that it is about. The
order is in the heap itself, four children side by side: with thousands of members the cost is cache misses. Members of
equal load take turns by weight (stride scheduling, Waldspurger
and Weihl 1995), so an idle upstream is served as by round robin. nginx `least_conn`, HAProxy `leastconn`, Envoy
LEAST_REQUEST with FULL_SCAN; of those only HAProxy does without a scan. An event costs O(log n) comparisons, a pick
none.

With several workers the load is that of all of them: a member's is read at each event of this worker there, all loads
with each tick, and that of the winner at the pick; if it has risen, the member is moved and the next one is tried. A
load that falls through other workers is seen with the next tick.

Failures count as load, or a backend that fails at once would always be the idlest: their share of about the latest ten
requests, times `failure_penalty`, times the mean load of a member. They fade within ten seconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import exp
from typing import Any

from ..upstream.backend import Backend
from .base import Balancer, Done
from .structures.records import FAILING_DECAY, BackendRecord, key_of, records_of
from .structures.sampling import dice

ATTEMPTS = 4
"""Members that one pick tries, if their loads have risen through other workers."""
WIDTH = 4
"""Spots below each spot of the heap: those of spot n begin at WIDTH * n + 1."""


class LeastConnections(Balancer):
    """The least load by weight."""

    name = "least_connections"

    def __init__(self, failure_penalty: float = 20.0, seed: int | None = None) -> None:
        if not failure_penalty >= 0:
            raise ValueError(f"failure_penalty: must be at least 0, not {failure_penalty}")
        self.key = self.name
        self.failure_penalty = failure_penalty
        self.dice = dice(seed)
        self.backends: list[Backend] = []
        self.records: list[BackendRecord] = []
        self.size = 0
        self.heap = array("i", [0])
        """Places of members, by spots; the member at a spot is not after those at the spots below."""
        self.spots = array("i", [0])
        """The spot of each member."""
        self.order = array("d", [0.0, 0.0])
        """The order of the heap, two numbers for each spot: load by weight and, among equals, the turn of the member
        there; each pick adds 1 / weight to it."""
        self.served = False
        """Whether the member at the top has had its turn and belongs further down. It is left there until the next
        event, which is mostly the assignment of the request to it and moves it anyway."""
        self.turn = 0.0
        """The turn of the latest pick."""
        self.usual = 0.0
        """Load by weight of all members together, one request more for each."""
        self.shared = False
        self.ticked = 0.0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        turns = {backend: self.order[2 * self.spots[at] + 1] for at, backend in enumerate(self.backends)}
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.size = len(self.backends)
        self.key = key_of(self)
        self.records = records_of(self, self.key, self.backends, self.records)
        late = [self.turn + self.dice() / backend.weight for backend in self.backends]
        self.heap, self.spots = array("i", range(self.size or 1)), array("i", range(self.size or 1))
        self.order = array("d", bytes(16 * (self.size or 1)))
        for at, (backend, turn) in enumerate(zip(self.backends, late, strict=True)):
            self.order[2 * at + 1] = turns.get(backend, turn)
        self.shared = any(backend.board is not None and backend.board.used > 2 for backend in self.backends)
        self.refresh()

    def pick(self, key: bytes | None) -> Backend | None:
        if self.size == 0:
            return None
        self.settle()
        if self.shared:
            attempts = ATTEMPTS
            while attempts > 1 and self.risen(self.heap[0]):
                attempts -= 1
        backend: Backend = self.backends[self.heap[0]]
        if self.order[1] > self.turn:
            self.turn = self.order[1]
        self.order[1] = self.turn + 1.0 / backend.weight
        self.served = True
        return backend

    def assigned(self, backend: Backend) -> None:
        record: BackendRecord | None = backend.learned.get(self.key)
        if record is not None and record.owner is self:
            self.move(record, backend)

    def released(self, backend: Backend, done: Done) -> None:
        record: BackendRecord | None = backend.learned.get(self.key)
        if record is None:
            return
        record.judge(done.outcome)
        if record.owner is self:
            self.move(record, backend)

    def tick(self, now: float) -> None:
        fading = exp((self.ticked - now) / FAILING_DECAY) if self.ticked else 1.0
        self.ticked = now
        for record in self.records:
            record.fade(fading)
        self.refresh()

    def explain(self) -> dict[str, Any]:
        return {
            "backends": {
                backend.name: {
                    "load_by_weight": self.order[2 * self.spots[at]],
                    "in_flight": backend.load(),
                    "weight": backend.weight,
                    "failing": record.failing,
                }
                for at, (backend, record) in enumerate(zip(self.backends, self.records, strict=True))
            },
            "picks": [],
        }

    # --- the heap ---

    def ratio(self, record: BackendRecord, backend: Backend) -> float:
        """Current load by weight of a member, its failures included."""
        return backend.load() / backend.weight + self.failure_penalty * record.failing * self.usual

    def risen(self, at: int) -> bool:
        """Move a member to its current load. True if that has risen."""
        before = self.order[2 * self.spots[at]]
        self.move(self.records[at], self.backends[at])
        return self.order[2 * self.spots[at]] > before

    def move(self, record: BackendRecord, backend: Backend) -> None:
        """Move a member to its current load."""
        if self.heap[0] != record.place:
            self.settle()
        spot = self.spots[record.place]
        before = self.order[2 * spot]
        ratio = self.ratio(record, backend)
        self.order[2 * spot] = ratio
        if ratio > before or self.served:
            self.served = False
            self.sink(spot)
        elif ratio < before:
            self.rise(spot)

    def settle(self) -> None:
        """Move the member at the top down if it has had its turn."""
        if self.served:
            self.served = False
            self.sink(0)

    def refresh(self) -> None:
        """Read all loads, and rebuild the heap."""
        load = weight = 0
        for backend in self.backends:
            load += backend.load()
            weight += backend.weight
        self.usual = (load + self.size) / weight if weight else 0.0
        self.served = False
        spot = self.size
        while spot > 0:
            spot -= 1
            at = self.heap[spot]
            self.order[2 * spot] = self.ratio(self.records[at], self.backends[at])
            self.sink(spot)

    def sink(self, spot: int) -> None:
        """Move the member at a spot down, past those that come before it."""
        order, heap, spots = self.order, self.heap, self.spots
        at, ratio, turn = heap[spot], order[2 * spot], order[2 * spot + 1]
        while True:
            best, least, earliest = spot, ratio, turn
            below = WIDTH * spot + 1
            end = below + WIDTH if below + WIDTH < self.size else self.size
            while below < end:
                load = order[2 * below]
                if load < least or (load == least and order[2 * below + 1] < earliest):
                    best, least, earliest = below, load, order[2 * below + 1]
                below += 1
            if best == spot:
                break
            order[2 * spot], order[2 * spot + 1] = least, earliest
            heap[spot] = heap[best]
            spots[heap[spot]] = spot
            spot = best
        order[2 * spot], order[2 * spot + 1] = ratio, turn
        heap[spot] = at
        spots[at] = spot

    def rise(self, spot: int) -> None:
        """Move the member at a spot up, past those that come after it."""
        order, heap, spots = self.order, self.heap, self.spots
        at, ratio, turn = heap[spot], order[2 * spot], order[2 * spot + 1]
        while spot > 0:
            above = (spot - 1) // WIDTH
            load = order[2 * above]
            if load < ratio or (load == ratio and order[2 * above + 1] <= turn):
                break
            order[2 * spot], order[2 * spot + 1] = load, order[2 * above + 1]
            heap[spot] = heap[above]
            spots[heap[spot]] = spot
            spot = above
        order[2 * spot], order[2 * spot + 1] = ratio, turn
        heap[spot] = at
        spots[at] = spot
