"""An algorithm that goes by reports, and remembers what it was told: `tests.balancing.listening:Listening`."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.balancing import Balancer, Done
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport


class Listening(Balancer):
    """The first usable member, always; with `probes` it asks after each pick."""

    name = "listening"
    wants_reports = True

    def __init__(self, probes: int = 0, broken: bool = False) -> None:
        self.probes = probes
        self.broken = broken
        self.backends: Sequence[Backend] = ()
        self.heard: list[tuple[str, LoadReport]] = []
        """What came by either way."""
        self.asked = 0
        """How much of it came by `reported`."""
        self.times: list[float] = []
        self.ended: list[tuple[str, int, LoadReport | None]] = []

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = list(usable)

    def pick(self, key: bytes | None) -> Backend | None:
        backend = self.backends[0] if self.backends else None
        if backend is not None and self.prober is not None:
            for _ in range(self.probes):
                self.prober(backend)
        return backend

    def released(self, backend: Backend, done: Done) -> None:
        if self.broken and done.report is not None:
            raise RuntimeError("this algorithm does not like reports")
        self.ended.append((backend.name, done.outcome, done.report))
        if done.report is not None:
            self.heard.append((backend.name, done.report))

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        if self.broken:
            raise RuntimeError("this algorithm does not like reports")
        self.asked += 1
        self.heard.append((backend.name, report))
        self.times.append(now)
