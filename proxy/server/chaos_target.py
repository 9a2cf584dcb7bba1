"""What chaos experiments can do to this proxy, by its supervisor.

Law of this file: the rules that workers follow are here, so that a worker that is started later, or takes up another
configuration, follows the same ones. Nothing here decides whether an experiment may run (control/chaos/).
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

from ..control.chaos import view
from ..control.chaos.contract import Sample, UpstreamState
from ..control.health_checks import HealthChecks
from ..errors import ControlError
from ..features.chaos import Rule, Tally
from ..scoreboard import STATE, STATES, Scoreboard
from ..upstream.spec import GroupSpec
from .workers import Workers

AskAll = Callable[[str, object], Awaitable[list[object]]]


class SupervisorTarget:
    """See `control.chaos.contract.ChaosTarget`."""

    def __init__(
        self,
        board: Scoreboard,
        workers: Workers,
        health_checks: HealthChecks,
        ask_all: AskAll,
        specs: Callable[[], Mapping[str, GroupSpec]],
    ) -> None:
        self.board = board
        self.processes = workers
        self.health_checks = health_checks
        self.ask_all = ask_all
        self.specs = specs
        self.rules: tuple[Rule, ...] = ()
        """What all workers follow."""

    def sample(self) -> Sample:
        return view.sample(self.board)

    def upstreams(self) -> Mapping[str, UpstreamState]:
        return view.upstreams(self.board, self.specs().values())

    def workers(self) -> Sequence[int]:
        return [slot for slot, worker in self.processes.slots.items() if worker.state == "serving"]

    async def set_rules(self, rules: Sequence[Rule]) -> None:
        """Raises ControlError if a worker did not take them up."""
        self.rules = tuple(rules)
        serving = len(self.workers())
        if len(await self.ask_all("chaos", self.rules)) < serving:
            raise ControlError("a worker did not take up the chaos rules")

    async def settle(self, sent: tuple[Rule, ...]) -> None:
        """Send the rules in force if they are not `sent`, which the workers have got."""
        if sent != self.rules:
            await self.set_rules(self.rules)

    async def tallies(self) -> Mapping[str, Tally]:
        counts: dict[str, Counter[str]] = {}
        for found in await self.ask_all("tallies", None):
            assert isinstance(found, dict)
            for rule, tally in found.items():
                counts.setdefault(rule, Counter()).update(tally._asdict())
        return {rule: Tally(**sums) for rule, sums in counts.items()}

    async def kill_worker(self, slot: int) -> None:
        worker = self.processes.slots.get(slot)
        if worker is not None:
            self.processes.end(worker, signal.SIGKILL)

    async def set_backend_state(self, upstream: str, address: str, state: str) -> None:
        self.board.backend_rows(upstream, address)[STATE] = STATES.index(state)
        self.board.changed(0)

    async def lie(self, upstream: str, address: str, healthy: bool | None, until: float) -> None:
        """Raises ControlError if that backend has no active checks."""
        self.health_checks.lie(upstream, address, healthy, until)
