"""The fallback for requests without a key, beside the algorithm for those that have one.

Law of this file: both algorithms get the events of all requests, so that neither learns from a part of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport
from ..base import Balancer, Done


class KeylessFallback(Balancer):
    """`main` for requests with a key, `other` for the rest."""

    needs_key = True

    def __init__(self, main: Balancer, other: Balancer) -> None:
        self.main = main
        self.other = other

    @property
    def wants_reports(self) -> bool:  # type: ignore[override]
        return self.main.wants_reports or self.other.wants_reports

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        for each in (self.main, self.other):
            each.prober, each.scope = self.prober, self.scope
            type(each).members(each, listed, in_rotation, usable)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.other.pick(None) if key is None else self.main.pick(key)

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return self.other.candidates(None) if key is None else self.main.candidates(key)

    def assigned(self, backend: Backend) -> None:
        self.main.assigned(backend)
        self.other.assigned(backend)

    def released(self, backend: Backend, done: Done) -> None:
        self.main.released(backend, done)
        self.other.released(backend, done)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.main.reported(backend, report, now)
        self.other.reported(backend, report, now)

    def tick(self, now: float) -> None:
        self.main.tick(now)
        self.other.tick(now)

    def explain(self) -> dict[str, Any]:
        return {**self.main.explain(), "without_a_key": self.other.explain()}
