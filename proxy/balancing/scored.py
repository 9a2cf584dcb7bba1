"""The base of `latency` and `least_time`: a score for each member, and the request goes to the lowest of a few drawn.

    score = seconds x (in flight x mean weight / weight + 1 + failure_penalty x failing x (mean in flight + 1))

Law of this file: the scores are in one array; an event changes the score that it is about, and a pick reads `choices`
of them and nothing else. So a pick costs the same for three members and for ten thousand. Requests of other workers
enter a score with each event of this worker at that backend, and with each tick; if the load of the winner has risen
above its score, the pick draws again.

Drawing goes by weight, and load counts in proportion to it: an idle upstream is shared out by weight, a busy one is
loaded by weight. (A plain division by the weight, as in nginx's least_time, gives a backend of weight 1 nothing at all
beside one of weight 4 until that one is busy.) Up to `choices` members of one weight are all looked at.

An estimate that is not renewed fades towards half of the least response time of any member, so that one that was slow
once is tried again, and is never so attractive that it is flooded. While the whole upstream is silent nothing fades. A
member without an estimate comes first while it is idle, and counts as the fastest one while it is not: so it is tried
at once, and with one request until that has ended.

`failing`, the share of failures among about the latest ten requests, counts as load, in proportion to the mean load:
else a backend that fails at once would be the idlest and the fastest.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from math import exp
from typing import Any

from ..upstream.backend import Backend
from .base import ANSWERED, FAILED, Balancer, Done
from .structures.alias_table import AliasTable
from .structures.records import FAILING_DECAY, BackendRecord, key_of, records_of

ATTEMPTS = 3
"""Draws of one pick at most, if the load of its winner has risen through other workers."""
SHORTEST = 1e-6
"""The least response time in seconds: 0 stands for no estimate."""
SUSPECT = 0.05
"""The share of failures above which a backend without an estimate does not come first."""


class Scored(Balancer):
    """The lowest score of `choices`. `learn` of a subclass updates the estimate with a response time."""

    def __init__(
        self,
        choices: int = 8,
        decay: float = 10.0,
        default_rtt: float = 0.01,
        failure_penalty: float = 20.0,
        seed: int | None = None,
    ) -> None:
        if not 2 <= choices <= 64:
            raise ValueError(f"choices: must be from 2 to 64, not {choices}")
        if not decay > 0:
            raise ValueError(f"decay: must be more than 0 seconds, not {decay}")
        if not default_rtt > 0:
            raise ValueError(f"default_rtt: must be more than 0 seconds, not {default_rtt}")
        if not failure_penalty >= 0:
            raise ValueError(f"failure_penalty: must be at least 0, not {failure_penalty}")
        self.key = self.name
        """Its name in `backend.learned`."""
        self.choices = choices
        self.decay = decay
        self.failure_penalty = failure_penalty
        self.draws = AliasTable(seed)
        self.backends: list[Backend] = []
        self.records: list[BackendRecord] = []
        self.scale = array("d", [0.0])
        """Mean weight by weight, of each member."""
        self.scores = array("d", [0.0])
        self.least = default_rtt
        """The least estimate of members that answer, in seconds."""
        self.usual = default_rtt
        """The mean of their estimates."""
        self.mean_load = 0.0
        """Requests in flight, on average over the members."""
        self.shared = False
        """Whether other workers use these backends too."""
        self.ticked = 0.0

    # --- of subclasses ---

    def learn(self, record: BackendRecord, seconds: float, now: float) -> None:
        """Update the estimate with a response time."""
        raise NotImplementedError

    # --- the contract ---

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = [backend for backend in usable if backend.weight > 0]
        self.key = key_of(self)
        self.records = records_of(self, self.key, self.backends, self.records)
        weights = [backend.weight for backend in self.backends]
        self.draws.fill(weights)
        mean = sum(weights) / len(weights) if weights else 0.0
        self.scale = array("d", [mean / weight for weight in weights] or [0.0])
        self.scores = array("d", [0.0] * (len(weights) or 1))
        known = [record.seconds for record in self.records if record.seconds > 0.0]
        if known and not self.ticked:
            self.least, self.usual = min(known), sum(known) / len(known)
        self.shared = any(backend.board is not None and backend.board.used > 2 for backend in self.backends)
        self.score_all()

    def pick(self, key: bytes | None) -> Backend | None:
        if self.draws.size < 2:
            return self.backends[0] if self.draws.size else None
        at = self.lowest()
        if self.shared:
            attempts = ATTEMPTS
            while attempts > 1 and self.risen(at):
                at = self.lowest()
                attempts -= 1
        return self.backends[at]

    def assigned(self, backend: Backend) -> None:
        record: BackendRecord | None = backend.learned.get(self.key)
        if record is not None and record.owner is self:
            self.rescore(record, backend)

    def released(self, backend: Backend, done: Done) -> None:
        record: BackendRecord | None = backend.learned.get(self.key)
        if record is None:
            return
        self.note(record, done)
        if record.owner is self:
            self.rescore(record, backend)

    def tick(self, now: float) -> None:
        seconds = now - self.ticked if self.ticked else 0.0
        self.ticked = now
        self.fade(1.0 - exp(-seconds / self.decay), exp(-seconds / FAILING_DECAY))
        self.score_all()

    def explain(self) -> dict[str, Any]:
        return {
            "backends": {
                backend.name: {
                    "score": self.scores[at],
                    "seconds": record.seconds or None,
                    "in_flight": backend.load(),
                    "weight": backend.weight,
                    "failing": record.failing,
                }
                for at, (backend, record) in enumerate(zip(self.backends, self.records, strict=True))
            },
            "picks": [],
            "choices": self.choices,
            "seconds_if_unknown": self.least,
        }

    # --- parts of it ---

    def lowest(self) -> int:
        """The place of the lowest score among those drawn; of equal ones the first, which is drawn by weight."""
        draws, scores = self.draws, self.scores
        best = draws.draw()
        least = scores[best]
        if draws.even and draws.size <= self.choices:
            at = best
            left = draws.size - 1
            while left > 0:
                left -= 1
                at += 1
                if at == draws.size:
                    at = 0
                if scores[at] < least:
                    best, least = at, scores[at]
            return best
        left = self.choices - 1
        while left > 0:
            left -= 1
            at = draws.draw_other(best)
            if scores[at] < least:
                best, least = at, scores[at]
        return best

    def risen(self, at: int) -> bool:
        """Update a score. True if it has risen."""
        before = self.scores[at]
        self.rescore(self.records[at], self.backends[at])
        return self.scores[at] > before

    def rescore(self, record: BackendRecord, backend: Backend) -> None:
        """Compute a score from the current load."""
        at = record.place
        seconds, load = record.seconds, backend.load() * self.scale[at] + 1.0
        if seconds == 0.0:
            if record.failing > SUSPECT:
                seconds = self.usual
            elif load > 1.0:
                seconds = self.least
        self.scores[at] = seconds * (load + self.failure_penalty * record.failing * (self.mean_load + 1.0))

    def score_all(self) -> None:
        """Compute all scores."""
        at = load = 0
        for backend in self.backends:
            load += backend.load()
        self.mean_load = load / self.draws.size if load else 0.0
        end = len(self.backends)
        while at < end:
            self.rescore(self.records[at], self.backends[at])
            at += 1

    def note(self, record: BackendRecord, done: Done) -> None:
        """Learn from the end of a request."""
        record.judge(done.outcome)
        if done.outcome == ANSWERED:
            self.learn(record, done.seconds if done.seconds > SHORTEST else SHORTEST, done.now)
            record.answers += 1
            record.answered_at = done.now
            record.fresh = True
        elif done.outcome == FAILED and done.seconds > record.seconds > 0.0:
            record.seconds = done.seconds  # a time-out says that it is slow, a quick failure nothing about its speed

    def fade(self, by: float, failing: float) -> None:
        """Estimates without a response since the last tick go this far (0 to 1) towards half of the least; failures of
        all members shrink to the share `failing`."""
        least = total = 0.0
        fresh = 0
        for record in self.records:
            record.fade(failing)
            if record.fresh:
                fresh += 1
                total += record.seconds
                if least == 0.0 or record.seconds < least:
                    least = record.seconds
        if fresh == 0:
            return
        self.least, self.usual = least, total / fresh
        for record in self.records:
            if not record.fresh and record.seconds > least * 0.5:
                record.seconds += (least * 0.5 - record.seconds) * by * (1.0 - record.failing)
            record.fresh = False
