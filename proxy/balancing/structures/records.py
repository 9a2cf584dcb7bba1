"""Records of backends: response times and failures of their requests.

Law of this file: a record is in `backend.learned`, and outlives reloads and the algorithm. Of several balancers with
the same backend the latest owns its record; the others, which only get the ends of their last requests, do not change
what is kept by place.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...upstream.backend import Backend
from ..base import ANSWERED, FAILED, Balancer

FAILING_DECAY = 10.0
"""Seconds in which `failing` fades to 37 %."""
FORGIVEN = 0.001
"""The least `failing`, below which it is 0: among idle backends the smallest difference decides."""
GAIN = 0.1
"""The weight of one request in `failing`."""


class BackendRecord:
    """The record of a backend, in `backend.learned`."""

    def __init__(self) -> None:
        self.owner: Balancer | None = None
        """The balancer that goes by it; `place` is the place of the backend among its members."""
        self.place = 0
        self.seconds = 0.0
        """The estimated response time, in the algorithm's own measure; 0 before the first response."""
        self.answers = 0
        self.answered_at = 0.0
        """Time of the latest response (seconds, monotonic)."""
        self.fresh = False
        """Whether there was a response since the last tick."""
        self.failing = 0.0
        """The share of failures among the latest requests, 0 to 1."""

    def judge(self, outcome: int) -> None:
        """Count an outcome."""
        if outcome == FAILED:
            self.failing += GAIN * (1.0 - self.failing)
        elif outcome == ANSWERED:
            self.fade(1.0 - GAIN)

    def fade(self, keep: float) -> None:
        """Multiply `failing` by `keep`."""
        self.failing *= keep
        if self.failing < FORGIVEN:
            self.failing = 0.0


def key_of(balancer: Balancer) -> str:
    """The name of a balancer's records."""
    return f"{balancer.name} ({balancer.scope})" if balancer.scope else balancer.name


def records_of(
    owner: Balancer, key: str, members: Sequence[Backend], before: Sequence[BackendRecord]
) -> list[BackendRecord]:
    """The records of members under the name `key`, each with its place; new where there is none. Records of `before`
    whose backends have left get no owner."""
    for left in before:
        if left.owner is owner:
            left.owner = None
    records = []
    for at, backend in enumerate(members):
        record: BackendRecord = backend.learned.setdefault(key, BackendRecord())
        record.owner, record.place = owner, at
        records.append(record)
    return records
