"""Requests without a key go by another algorithm than those that have one.

Law of this file: both algorithms see all requests that are over, so that what they learn is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...upstream.backend import Backend
from ...upstream.load.report import LoadReport
from ..base import Balancer, Done


class Keyed(Balancer):
    """`main` for requests with a key, `other` for the rest."""

    needs_key = True

    def __init__(self, main: Balancer, other: Balancer) -> None:
        self.main = main
        self.other = other

    @property
    def wants_reports(self) -> bool:  # type: ignore[override]
        return self.main.wants_reports or self.other.wants_reports

    def roster(self, members: Sequence[Backend]) -> None:
        self.main.roster(members)
        self.other.roster(members)

    def census(self, members: Sequence[Backend]) -> None:
        self.main.census(members)
        self.other.census(members)

    def rebuild(self, members: Sequence[Backend]) -> None:
        for each in (self.main, self.other):
            each.prober, each.scope = self.prober, self.scope
        self.main.rebuild(members)
        self.other.rebuild(members)

    def pick(self, key: bytes | None) -> Backend | None:
        return self.other.pick(None) if key is None else self.main.pick(key)

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return self.other.reach(None) if key is None else self.main.reach(key)

    def took(self, backend: Backend) -> None:
        self.main.took(backend)
        self.other.took(backend)

    def dropped(self, backend: Backend, done: Done) -> None:
        self.main.dropped(backend, done)
        self.other.dropped(backend, done)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.main.reported(backend, report, now)
        self.other.reported(backend, report, now)

    def tick(self, now: float) -> None:
        self.main.tick(now)
        self.other.tick(now)

    def explain(self) -> dict[str, Any]:
        return {**self.main.explain(), "without_a_key": self.other.explain()}
