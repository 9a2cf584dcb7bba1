"""A proxy that is none, and a clock that a test moves: what experiments are tried out on.

Invariant: nothing here decides anything; it takes down what it is told, and says what the test wants it to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from proxy.configuration.load import load_text
from proxy.configuration.sections.chaos import ChaosSection
from proxy.control.chaos.audit import Audit
from proxy.control.chaos.contract import Member, Sample, UpstreamState
from proxy.control.chaos.controller import Controller
from proxy.features.chaos import Rule, Tally
from proxy.features.chaos.experiment import Experiment
from proxy.metrics import HISTOGRAM_CELLS, Histogram

MONDAY = datetime(2026, 1, 5, 10, tzinfo=UTC)
ABORT = Experiment("stop-some", "abort", "admit")
REFUSE = Experiment("dead", "connect_refused", "connect", upstreams=("app",))


class FakeClock:
    def __init__(self) -> None:
        self.seconds = 1000.0
        self.start = MONDAY

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds - 1000.0)


class FakeTarget:
    """`sizes` are the numbers of backends of each upstream, all of them healthy."""

    def __init__(self, clock: FakeClock, **sizes: int) -> None:
        self.clock = clock
        self.ups = {
            name: UpstreamState(tuple(Member(address(n), True) for n in range(size))) for name, size in sizes.items()
        }
        self.slots: Sequence[int] = (1, 2)
        self.rules: list[Rule] = []
        self.did: list[tuple[Any, ...]] = []
        self.fails: set[str] = set()
        self.struck = Tally(10, 10, 1)
        self.requests = self.errors = self.gone = self.in_flight = 0
        self.histogram = Histogram()

    def serve(self, requests: int, errors: int = 0, seconds: float = 0.01, gone: int = 0, stall: int = 0) -> None:
        """So many requests are over, `errors` and `gone` among them; `stall` more have begun, and get no answer."""
        self.requests += requests
        self.errors += errors
        self.gone += gone
        self.in_flight += stall
        for _ in range(requests):
            self.histogram.observe(seconds)

    def ill(self, upstream: str, *which: int, panicking: bool = False) -> None:
        members = self.ups[upstream].members
        changed = (Member(each.address, n not in which) for n, each in enumerate(members))
        self.ups[upstream] = UpstreamState(tuple(changed), panicking)

    def sample(self) -> Sample:
        cells = tuple(int(self.histogram.cells[cell]) for cell in range(HISTOGRAM_CELLS))
        return Sample(self.clock.seconds, self.requests, self.errors, self.gone, self.in_flight, cells)

    def upstreams(self) -> Mapping[str, UpstreamState]:
        return self.ups

    def workers(self) -> Sequence[int]:
        return self.slots

    def _do(self, what: str, *about: Any) -> None:
        self.did.append((what, *about))
        if what in self.fails:
            raise OSError(f"{what} does not work")

    async def set_rules(self, rules: Sequence[Rule]) -> None:
        self._do("set_rules", *(rule.id for rule in rules))
        self.rules = list(rules)

    async def tallies(self) -> Mapping[str, Tally]:
        self._do("tallies")
        return {rule.id: self.struck for rule in self.rules}

    async def kill_worker(self, slot: int) -> None:
        self._do("kill_worker", slot)

    async def set_backend_state(self, upstream: str, address: str, state: str) -> None:
        self._do("state", upstream, address, state)

    async def lie(self, upstream: str, address: str, healthy: bool | None, until: float) -> None:
        self._do("lie", upstream, address, healthy)


def address(number: int) -> str:
    return f"10.0.0.{number}:80"


def settings(more: str = "", audit: str = "audit.jsonl") -> ChaosSection:
    """The section `chaos` of a configuration, enabled; `more` are further keys in flow style."""
    usual = {"enabled": "true", "environment": "test", "audit": audit}
    given = ", ".join(f"{key}: {value}" for key, value in usual.items() if f"{key}:" not in more)
    text = (
        "listeners: [{bind: ':1'}]\nroutes: [{upstream: app}]\nupstreams: {app: {backends: ['10.0.0.0:80']}}\n"
        f"chaos: {{{given}, {more}}}\n"
    )
    return load_text(text).config.chaos


class Lab:
    """A controller and everything around it."""

    def __init__(self, folder: Path, more: str = "", **sizes: int) -> None:
        self.clock = FakeClock()
        self.target = FakeTarget(self.clock, **(sizes or {"app": 20}))
        self.audit = Audit(folder / "audit.jsonl")
        self.settings = settings(more)
        self.controller = Controller(self.settings, self.target, self.clock, self.audit, Random(1))

    async def pass_time(
        self, seconds: int, requests: int = 100, errors: int = 0, latency: float = 0.01, gone: int = 0, stall: int = 0
    ) -> None:
        """Tick by tick, with so many requests in each second."""
        for _ in range(seconds):
            self.clock.seconds += 1.0
            self.target.serve(requests, errors, latency, gone, stall)
            await self.controller.tick()

    async def prove(self, experiment: Experiment) -> None:
        """Have an experiment pass its dry run."""
        await self.controller.start(experiment, "me", dry_run=True)
        await self.controller.stop("me")

    def events(self, name: str = "") -> list[dict[str, Any]]:
        return [record for record in self.audit.read() if not name or record["event"] == name]

    def last(self) -> dict[str, Any]:
        return self.events()[-1]
