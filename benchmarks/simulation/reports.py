"""What backends report of themselves, and how it comes to the proxies: with each response, and when they are probed.

Law of this file: only what a backend can know. Whether it lies is the scenario's affair (see `Faulty`).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from proxy.upstream.load.report import NAN, LoadReport

from .agenda import Agenda
from .server import Server

Told = Callable[[float, Any], None]

MEMORY_IDLE, MEMORY_EACH = 0.3, 0.02
"""Share of its memory that a backend uses: for itself, and for each request in flight."""


class Reporter:
    """Reports as they should be. `delay` is the time to a backend and back (seconds); `says` is what it reports."""

    def __init__(self, agenda: Agenda, delay: float, says: frozenset[str]) -> None:
        self.agenda = agenda
        self.delay = delay
        self.says = says
        self.report = LoadReport()
        """One object serves all responses: an algorithm takes from it what it needs."""

    def with_response(self, server: Server, work: float) -> LoadReport | None:
        if not self.says:
            return None
        report = self.fill(self.report, server)
        if "cost" in self.says:
            report.cost = work / server.speed  # seconds of CPU: more of them on a slower one
        return report

    def fill(self, report: LoadReport, server: Server) -> LoadReport:
        usage = server.usage
        report.in_flight = server.in_flight
        report.cpu, report.rps, report.eps = usage.cpu, usage.rps, usage.eps
        report.memory = MEMORY_IDLE + MEMORY_EACH * server.in_flight
        report.cost = NAN
        if "latency" in self.says:
            report.latency = server.latency()
        return report

    def ask(self, now: float, server: Server, told: Told, place: int) -> None:
        """Probe a backend; `told` is called with its answer."""
        if not self.delay:
            told(now, (place, self.fill(self.report, server)))
            return
        self.agenda.at(now + self.delay / 2, self.answer, (server, told, place))

    def answer(self, now: float, question: tuple[Server, Told, int]) -> None:
        server, told, place = question
        self.agenda.at(now + self.delay / 2, told, (place, self.fill(LoadReport(), server)))


class Faulty(Reporter):
    """Reports that are missing (30 %), zero (5 %), off by up to 30 %, and of two seconds ago but for the cost."""

    MISSING, ZERO, NOISE, LATE = 0.3, 0.05, 0.3, 2.0

    def __init__(self, agenda: Agenda, delay: float, says: frozenset[str], seed: int) -> None:
        super().__init__(agenda, delay, says)
        self.dice = Random(f"faults {seed}")
        self.old: dict[int, list[tuple[float, int]]] = {}

    def with_response(self, server: Server, work: float) -> LoadReport | None:
        spot = self.dice.random()
        if spot < self.MISSING:
            return None
        report = super().with_response(server, work * (1 + self.NOISE * (2 * self.dice.random() - 1)))
        if report is not None and spot < self.MISSING + self.ZERO:
            report.cpu = report.memory = report.cost = report.in_flight = report.rps = 0.0
        return report

    def fill(self, report: LoadReport, server: Server) -> LoadReport:
        super().fill(report, server)
        now = server.agenda.now
        old = self.old.setdefault(server.number, [])
        if not old or now - old[-1][0] > 0.05:
            old.append((now, server.in_flight))
        while len(old) > 1 and old[1][0] < now - self.LATE:
            del old[0]
        report.in_flight = old[0][1]
        return report
