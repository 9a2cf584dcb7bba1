"""What is known of a backend, by what became of its requests.

Law of this file: a record lies in `backend.learned`, and outlives reloads and the algorithm. Of several balancers that
know the same backend the latest owns its record; the others, which only see their last requests end, leave alone what
is kept by place.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...upstream.backend import Backend
from ..base import ANSWERED, FAILED, Balancer

FAILING_DECAY = 10.0
"""Seconds in which what is held against a backend for its failures fades to 37 %."""
FORGIVEN = 0.001
"""Of `failing`, what counts as nothing: among idle backends the least bit of it decides, and it would never be 0."""
GAIN = 0.1
"""How far one request takes `failing` towards 0 or 1."""


class BackendRecord:
    """What is known of a backend. It lies in `backend.learned`, and outlives the algorithm."""

    def __init__(self) -> None:
        self.owner: Balancer | None = None
        """The balancer that goes by it, of which this is a member; `place` is its place there."""
        self.place = 0
        self.seconds = 0.0
        """What a response takes, in the algorithm's own measure; 0 if there was none yet."""
        self.answers = 0
        self.answered_at = 0.0
        """The latest answer (seconds, monotonic)."""
        self.heard = False
        """Whether there was an answer since the last tick."""
        self.failing = 0.0
        """From 0, all is well, to 1, every request fails."""

    def judge(self, outcome: int) -> None:
        """Hold a failure against it, or forgive."""
        if outcome == FAILED:
            self.failing += GAIN * (1.0 - self.failing)
        elif outcome == ANSWERED:
            self.fade(1.0 - GAIN)

    def fade(self, keep: float) -> None:
        """So much of what is held against it is left."""
        self.failing *= keep
        if self.failing < FORGIVEN:
            self.failing = 0.0


def key_of(balancer: Balancer) -> str:
    """The name of a balancer's records."""
    return f"{balancer.name} ({balancer.scope})" if balancer.scope else balancer.name


def records_of(
    owner: Balancer, key: str, members: Sequence[Backend], before: Sequence[BackendRecord]
) -> list[BackendRecord]:
    """What is known of each member under the name `key`, with its place; new where nothing is. Those of `before` that
    are no members any more have no place."""
    for left in before:
        if left.owner is owner:
            left.owner = None
    records = []
    for at, backend in enumerate(members):
        record: BackendRecord = backend.learned.setdefault(key, BackendRecord())
        record.owner, record.place = owner, at
        records.append(record)
    return records
