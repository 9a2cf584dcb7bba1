"""Which runs there are, and running them: scenario, load, number of proxies, policy, seed.

Law of this file: a run is described by plain values, so it can be done in another process and again tomorrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from multiprocessing import get_context
from typing import NamedTuple

from .policies import rows
from .scenarios import SCENARIOS
from .summary import Outcome, outcome
from .world import Setting, World


class Run(NamedTuple):
    """One run. Times in seconds."""

    scenario: str
    level: float
    proxies: int
    policy: str
    seed: int
    warm_up: float
    seconds: float
    probe_delay: float = 0.0
    probes: float = 3.0

    def do(self) -> Outcome:
        scenario = SCENARIOS[self.scenario]
        policy = rows(self.probes)[self.policy]
        setting = Setting(
            seed=self.seed,
            proxies=self.proxies,
            level=scenario.level(self.level),
            work=scenario.work,
            mean=scenario.mean,
            warm_up=self.warm_up if scenario.starts is None else scenario.starts,
            seconds=self.seconds if scenario.lasts is None else scenario.lasts,
            probe_delay=self.probe_delay,
            faulty_reports=scenario.faulty_reports,
        )
        world = World(setting, policy.build, policy.says)
        scenario.prepare(world, self.seed)
        world.run()
        return outcome(world)


class Plan(NamedTuple):
    """What was asked for. Empty: what is usual for the scenario."""

    scenarios: Sequence[str]
    levels: Sequence[float]
    proxies: Sequence[int]
    policies: Sequence[str]
    seeds: int
    warm_up: float
    seconds: float
    probe_delay: float

    def runs(self) -> Iterator[Run]:
        """Seeds outermost: what is there after an interruption is fair to all."""
        for seed, name in product(range(1, self.seeds + 1), self.scenarios):
            scenario = SCENARIOS[name]
            policies = self.policies or [row for row, policy in rows().items() if policy.shown]
            for probes in scenario.probes or (3.0,):
                for level, proxies, policy in product(self.levels or scenario.levels, self.proxies, policies):
                    if scenario.probes and not {"load"} <= rows()[policy].says:
                        continue
                    yield Run(name, level, proxies, policy, seed, self.warm_up, self.seconds, self.probe_delay, probes)


def results(runs: Sequence[Run], processes: int) -> Iterator[tuple[Run, Outcome]]:
    """All of them, as they come."""
    if processes == 1:
        yield from map(done, runs)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap_unordered(done, runs)


def done(run: Run) -> tuple[Run, Outcome]:
    return run, run.do()
