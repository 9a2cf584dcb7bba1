"""Skeleton: of two backends by chance, the one with fewer requests in flight for its weight.

Say here how it chooses, why, and what a pick costs. This one looks at two backends whatever their number.

Law of an algorithm: `members` and `tick` keep the structure ready, a pick only reads it. `pick`, `assigned`, `released`
and `reported` run in the event loop, on every request: they do not block, wait, log, or look at every backend. It never
reads the clock: the times of events are its only times, so a test of it waits for nothing. There is one instance for
each upstream in each worker, and all of its methods run in one thread. One that raises, or often takes
longer than `balance.slow` (10 ms), is replaced by `balance.fallback` until the next reload.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from ...balancing import Balancer, Done
from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport


class Skeleton(Balancer):
    """The less busy of two. Its parameters are the further keys of `balance` in YAML."""

    needs_key = False
    """True: `pick` gets the key that `balance.key` says, such as "header:x-user"; requests without it go by
    `balance.fallback`."""
    needs_location = False
    """True: the key begins with the name of the location where the client is, and a line feed."""
    wants_reports = False
    """True: backends are asked for load reports, and `released` gets them in `done.report`."""

    def __init__(self, seed: int | None = None) -> None:
        """`seed` makes its choices the same each time, for tests. Raise ValueError for a value that is wrong:
        `qantara check` prints it with its line."""
        self.random = Random(seed).random
        self.backends: list[Backend] = []
        self.picked: dict[str, int] = {}

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        """The backends or their weights have changed. Called before the first pick.

        `usable` may be picked; `in_rotation` has unhealthy ones too, `listed` drained ones too. What depends on the
        members is computed here. Those of weight 0 get no requests: leave them out.
        """
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.picked = {backend.name: self.picked.get(backend.name, 0) for backend in usable}

    def pick(self, key: bytes | None) -> Backend | None:
        """The backend for a request; None answers 503. If the backend cannot be connected to, it is called again.

        `in_flight` is what this worker has at a backend, `load()` what all workers have there.
        """
        backends, size = self.backends, len(self.backends)
        if size < 2:
            return backends[0] if backends else None
        at, other = int(self.random() * size), int(self.random() * (size - 1))
        first, second = backends[at], backends[other + (other >= at)]  # never the same one twice
        if second.in_flight * first.weight < first.in_flight * second.weight:
            return second
        return first

    def assigned(self, backend: Backend) -> None:
        """A request goes to `backend`, which counts it already. It need not be the one that `pick` has named: where
        that is full, it is another one; and a drained backend, which is not usable, keeps its sessions."""
        self.picked[backend.name] = self.picked.get(backend.name, 0) + 1

    def explain(self) -> dict[str, Any]:
        """Its state, for people: `qantara explain` and the admin API show it. Called on demand."""
        return {"backends": {name: {"picked": picked} for name, picked in self.picked.items()}}

    # --- the rest of the contract: it does nothing here. Delete what you do not need. ---

    def released(self, backend: Backend, done: Done) -> None:
        """A request at `backend` is over, once for each `assigned`: `done.outcome`, `done.seconds` until the response
        head, `done.now`. `done` is used again for the next request: keep nothing of it. The backend may have left the
        members since."""

    def tick(self, now: float) -> None:
        """Ten times per second, off the path of requests (`now`: seconds, monotonic): what fades with time."""

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        """A load report of a backend in an answer to a probe. Only with `wants_reports`."""

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        """The backends that a request with this key may go to, for retries and where a backend is full: in groups, the
        best first; None for all usable ones alike."""
        return None
