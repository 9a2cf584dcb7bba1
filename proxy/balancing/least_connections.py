"""Least connections: of all members, the one with the fewest requests in flight for its weight.

Exact, and without a scan: members stand in a binary heap by load / weight, and an event moves the one that it is about.
Members of equal load take turns by weight (stride scheduling, Waldspurger and Weihl 1995), so an idle upstream is
served as by round robin. nginx `least_conn`, HAProxy `leastconn`, Envoy LEAST_REQUEST with FULL_SCAN; of those only
HAProxy does without a scan. An event costs O(log n) comparisons, a pick one.

With several workers the load is that of all of them: a member's is read anew at each event of this worker there, all of
them with each tick, and that of the winner at the pick; if others have made it busier, it is put where it belongs and
the next one is looked at. What is late by up to a tick is that others have become less busy.

Failures count as load too, or a backend that fails at once would always be the idlest: their share of the latest ten
requests or so, times `failure_penalty`, times what a member has on average. They fade within ten seconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import exp
from typing import Any

from ..upstream.backend import Backend
from .base import Balancer, Done
from .records import FAILING_DECAY, Record, key_of, records_of
from .sampling import dice

ATTEMPTS = 4
"""Members that one pick looks at, if other workers have made them busier."""


class LeastConnections(Balancer):
    """The least load by weight."""

    name = "least_connections"

    def __init__(self, failure_penalty: float = 20.0, seed: int | None = None) -> None:
        if not failure_penalty >= 0:
            raise ValueError(f"failure_penalty: must be at least 0, not {failure_penalty}")
        self.key = self.name
        self.failure_penalty = failure_penalty
        self.dice = dice(seed)
        self.members: list[Backend] = []
        self.records: list[Record] = []
        self.size = 0
        self.heap = array("q", [0])
        """Places of members; each is not above the two at 2n + 1 and 2n + 2."""
        self.spots = array("q", [0])
        """Where in the heap a member stands."""
        self.ratios = array("d", [0.0])
        """Load by weight, of each member."""
        self.turns = array("d", [0.0])
        """When its turn comes among equals; each pick puts it off by 1 / weight."""
        self.turn = 0.0
        """Whose turn it was at last."""
        self.usual = 0.0
        """Load by weight of all members together, one request more for each."""
        self.shared = False
        self.ticked = 0.0

    def rebuild(self, members: Sequence[Backend]) -> None:
        turns = dict(zip(self.members, self.turns, strict=False))
        self.members = [backend for backend in members if backend.weight > 0]
        self.size = len(self.members)
        self.key = key_of(self)
        self.records = records_of(self, self.key, self.members, self.records)
        late = [self.turn + self.dice() / backend.weight for backend in self.members]
        self.turns = array("d", [turns.get(each, new) for each, new in zip(self.members, late, strict=True)] or [0.0])
        self.ratios = array("d", [0.0] * (self.size or 1))
        self.heap, self.spots = array("q", range(self.size or 1)), array("q", range(self.size or 1))
        self.shared = any(backend.board is not None and backend.board.used > 2 for backend in self.members)
        self.refresh()

    def pick(self, key: bytes | None) -> Backend | None:
        if self.size == 0:
            return None
        at = self.heap[0]
        if self.shared:
            attempts = ATTEMPTS
            while attempts > 1 and self.risen(at):
                at = self.heap[0]
                attempts -= 1
        backend: Backend = self.members[at]
        if self.turns[at] > self.turn:
            self.turn = self.turns[at]
        self.turns[at] = self.turn + 1.0 / backend.weight
        self.sink(self.spots[at])
        return backend

    def took(self, backend: Backend) -> None:
        record: Record | None = backend.learned.get(self.key)
        if record is not None and record.owner is self:
            self.move(record, backend)

    def dropped(self, backend: Backend, done: Done) -> None:
        record: Record | None = backend.learned.get(self.key)
        if record is None:
            return
        record.judge(done.outcome)
        if record.owner is self:
            self.move(record, backend)

    def tick(self, now: float) -> None:
        fading = exp((self.ticked - now) / FAILING_DECAY) if self.ticked else 1.0
        self.ticked = now
        for record in self.records:
            record.failing *= fading
        self.refresh()

    def explain(self) -> dict[str, Any]:
        return {
            "backends": {
                backend.name: {
                    "load_by_weight": self.ratios[at],
                    "in_flight": backend.load(),
                    "weight": backend.weight,
                    "failing": record.failing,
                }
                for at, (backend, record) in enumerate(zip(self.members, self.records, strict=True))
            },
            "picks": [],
        }

    # --- the heap ---

    def ratio(self, record: Record, backend: Backend) -> float:
        """Load by weight of a member as things are, what is held against it included."""
        return backend.load() / backend.weight + self.failure_penalty * record.failing * self.usual

    def risen(self, at: int) -> bool:
        """Whether a member is busier than was known; it stands where it belongs from now on."""
        before = self.ratios[at]
        self.move(self.records[at], self.members[at])
        return self.ratios[at] > before

    def move(self, record: Record, backend: Backend) -> None:
        """Put a member where it belongs as things are."""
        at = record.place
        before = self.ratios[at]
        ratio = self.ratio(record, backend)
        self.ratios[at] = ratio
        if ratio > before:
            self.sink(self.spots[at])
        elif ratio < before:
            self.rise(self.spots[at])

    def refresh(self) -> None:
        """Look at all members, and build the heap anew."""
        load = weight = 0
        for backend in self.members:
            load += backend.load()
            weight += backend.weight
        self.usual = (load + self.size) / weight if weight else 0.0
        at = 0
        while at < self.size:
            self.ratios[at] = self.ratio(self.records[at], self.members[at])
            at += 1
        spot = self.size // 2
        while spot > 0:
            spot -= 1
            self.sink(spot)

    def before(self, one: int, other: int) -> bool:
        """Whether a member comes before another: less load by weight or, if equal, the earlier turn."""
        if self.ratios[one] == self.ratios[other]:
            return self.turns[one] < self.turns[other]
        return self.ratios[one] < self.ratios[other]

    def sink(self, spot: int) -> None:
        """Who stands here may come after those below."""
        heap, spots = self.heap, self.spots
        at = heap[spot]
        below = 2 * spot + 1
        while below < self.size:
            if below + 1 < self.size and self.before(heap[below + 1], heap[below]):
                below += 1
            if not self.before(heap[below], at):
                break
            heap[spot] = heap[below]
            spots[heap[spot]] = spot
            spot = below
            below = 2 * spot + 1
        heap[spot] = at
        spots[at] = spot

    def rise(self, spot: int) -> None:
        """Who stands here may come before those above."""
        heap, spots = self.heap, self.spots
        at = heap[spot]
        while spot > 0:
            above = (spot - 1) // 2
            if not self.before(at, heap[above]):
                break
            heap[spot] = heap[above]
            spots[heap[spot]] = spot
            spot = above
        heap[spot] = at
        spots[at] = spot
