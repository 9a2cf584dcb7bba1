"""What a scenario is: a world, steps that are taken while it is under load, and criteria that have to hold afterwards.

Law of this file: steps begin when so many requests are over, never after a time. Four criteria hold for every
scenario: no request hangs, nobody gets somebody else's answer, nothing is left over, and the proxy logs no defect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.support.path import until_true

from .load import Load, run_load
from .world import World

Act = Callable[[World], Awaitable[Any]]
USUAL = Load()


class Step(NamedTuple):
    """What happens when so many requests are over; those at 0 happen before the first."""

    after: int
    what: str
    act: Act
    holds: bool = False
    """Whether no further request begins until it is over."""


class Criterion(NamedTuple):
    what: str
    holds: Callable[[World], object]


class Verdict(NamedTuple):
    """What came of a scenario: what did not hold, and what the clients saw."""

    wrong: tuple[str, ...]
    seen: str

    @property
    def passed(self) -> bool:
        return not self.wrong


@dataclass(frozen=True)
class Scenario:
    name: str
    steps: Sequence[Step] = ()
    expect: Sequence[Criterion] = ()
    backends: int = 3
    load: Load = USUAL
    upstream: str = ""
    route: str = ""
    more: str = ""
    also: Sequence[str] = field(default_factory=tuple)
    """Further addresses of backends that are not there."""

    @property
    def what_happens(self) -> str:
        return "; ".join(f"after {step.after}: {step.what}" if step.after else step.what for step in self.steps)

    @property
    def criterion(self) -> str:
        return ", ".join(each.what for each in self.expect)

    async def play(self) -> Verdict:
        """Run it."""
        async with World(self.backends, self.upstream, self.route, self.more, self.also) as world:
            await self._under_load(world)
            wrong = [each.what for each in self.expect if not each.holds(world)]
            seen = world.results.told()
            wrong += await _always(world)
        return Verdict(tuple(wrong), seen)

    async def _under_load(self, world: World) -> None:
        steps = sorted(self.steps, key=lambda step: step.after)
        due: asyncio.Queue[Step] = asyncio.Queue()
        while steps and not steps[0].after:
            await steps.pop(0).act(world)
        waiting = list(steps)

        def count(number: int) -> None:
            while waiting and waiting[0].after <= number:
                if waiting[0].holds:
                    world.results.go.clear()
                due.put_nowait(waiting.pop(0))

        async def take() -> None:
            for _ in steps:
                await (await due.get()).act(world)
                if due.empty():
                    world.results.go.set()

        world.results.on_count = count
        await asyncio.gather(run_load(world.address, self.load, world.results), take())


async def _always(world: World) -> list[str]:
    """The criteria of every scenario."""
    wrong = []
    for kind, words in (("hung", "no request hangs"), ("foreign", "nobody gets another's answer")):
        if world.results.kinds[kind] or world.side.kinds[kind]:
            wrong.append(words)
    for task in world.tasks:
        task.cancel()
    await asyncio.gather(*world.tasks, return_exceptions=True)
    for client in world.clients:
        client.reset()
    try:
        await until_true(lambda: not world.left_over())
    except TimeoutError:
        wrong.append(f"nothing is left over, but {world.left_over()}")
    wrong += [f"no defect: {found}" for found in world.defects.found]
    if world.proxy.counters.reasons.get("finish.internal"):
        wrong.append("no defect: finish.internal")
    return wrong


# --- criteria ------------------------------------------------------------------------------------------


def all_succeed() -> Criterion:
    return Criterion("all succeed", lambda world: world.results.failures() == 0)


def success(share: float) -> Criterion:
    """At least so many, from 0 to 1."""
    return Criterion(
        f"{share:.1%} succeed", lambda world: world.results.succeeded() >= share * len(world.results.outcomes)
    )


def at_most(failures: int) -> Criterion:
    return Criterion(f"at most {failures} fail", lambda world: world.results.failures() <= failures)


def at_least(count: int, kind: str) -> Criterion:
    return Criterion(f"at least {count} x {kind}", lambda world: world.results.kinds[kind] >= count)


def only(*kinds: str) -> Criterion:
    return Criterion(f"nothing but {', '.join(kinds)}", lambda world: set(world.results.kinds) <= set(kinds))


def reasons(*names: str) -> Criterion:
    """The proxy gave these reasons to clients, and no others."""
    return Criterion(f"because of {', '.join(names)}", lambda world: set(world.results.reasons) == set(names))


def counted(reason: str, least: int = 1) -> Criterion:
    """In the metrics, where also those stand whom nobody can be told."""
    return Criterion(f"{reason} is counted", lambda world: world.proxy.counters.reasons.get(reason, 0) >= least)


def ejected(number: int) -> Criterion:
    return Criterion(f"backend {number} is ejected", lambda world: world.backends[number].ejected_until() > 0)


def not_ejected(number: int) -> Criterion:
    return Criterion(f"backend {number} is not ejected", lambda world: world.backends[number].ejected_until() == 0)


def asked_at_most(number: int, times: int) -> Criterion:
    return Criterion(f"backend {number} is asked at most {times} times", lambda w: w.servers[number].requests <= times)


def asked_at_least(number: int, times: int) -> Criterion:
    return Criterion(f"backend {number} is asked at least {times} times", lambda w: w.servers[number].requests >= times)


def fact(what: str, holds: Callable[[World], object]) -> Criterion:
    return Criterion(what, holds)


def struck(rule: str, least: int = 1) -> Criterion:
    return Criterion("the fault was met", lambda world: world.injector.tallies()[rule].struck >= least)
