"""The scenarios, S1 to S9: what is special about each, on top of what `World` does anyway.

Law of this file: a scenario changes servers, arrivals and reports, never proxies or policies. Loads are multiples of a
core per backend; the backends have about 2.5 cores on average (S1), so 1.74 is some 70 % of what they can do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .antagonists import Antagonists
from .arrivals import Level, Work, normal, pareto, two_routes
from .world import World

Prepare = Callable[[World, int], None]


class Scenario(NamedTuple):
    """One scenario. `levels` are the loads that it is run at unless others are asked for."""

    title: str
    prepare: Prepare
    levels: tuple[float, ...]
    work: Work = normal()
    mean: float = 0.075
    level: Callable[[float], Level] = lambda base: lambda now: base
    """The load over time, for a load that was asked for."""
    faulty_reports: bool = False
    starts: float | None = None
    """When measuring begins, if not after the warm-up (seconds)."""
    lasts: float | None = None
    probes: tuple[float, ...] = ()
    """Probes per request to go through, in a sweep of them."""


def antagonists(world: World, seed: int) -> None:
    Antagonists(world.agenda, world.servers, seed)


def fast_and_slow(world: World, seed: int) -> None:
    """Every other backend is half as fast; all have two cores."""
    for server in world.servers:
        server.cap = 2.0
        server.speed = 0.5 if server.number % 2 else 1.0


BROKEN = 3


def sinkhole(world: World, seed: int) -> None:
    """Three backends answer 500 within a millisecond, for 30 seconds."""
    antagonists(world, seed)
    for server in world.servers[:BROKEN]:
        world.agenda.at(5.0, lambda now, each: setattr(each, "answers_in", 0.001), server)
        world.agenda.at(35.0, lambda now, each: setattr(each, "answers_in", 0.0), server)


def slow_sinkhole(world: World, seed: int) -> None:
    """Three backends accept and answer 500 after five seconds."""
    antagonists(world, seed)
    for server in world.servers[:BROKEN]:
        world.agenda.at(5.0, lambda now, each: setattr(each, "answers_in", 4.999), server)
        world.agenda.at(35.0, lambda now, each: setattr(each, "answers_in", 0.0), server)


RESTARTED, COLD, WARMS_IN = 10, 0.1, 20.0


def restarts(world: World, seed: int) -> None:
    """Ten backends restart at 10 s, and are as fast as before only 20 s later. No slow start from outside."""
    for server in world.servers:
        server.cap = 3.0
    for server in world.servers[:RESTARTED]:
        world.agenda.at(10.0, lambda now, each: each.restart(now), server)
        for step in range(41):
            cap = 3.0 * (COLD + (1 - COLD) * step / 40)
            world.agenda.at(
                10.0 + WARMS_IN * step / 40, lambda now, pair: pair[0].set_capacity(now, pair[1]), (server, cap)
            )


def step_up(base: float) -> Level:
    """From 0.75 to twice and more within a second, at 20 s."""
    return lambda now: 0.75 + (base - 0.75) * min(1.0, max(0.0, now - 20.0))


SCENARIOS: dict[str, Scenario] = {
    "S1": Scenario("antagonists on every machine", antagonists, (0.75, 1.03, 1.27, 1.57, 1.74)),
    "S2": Scenario("half of the backends at half the speed", fast_and_slow, (0.75, 1.2)),
    "S3": Scenario("three of a hundred fail fast", sinkhole, (0.93,), starts=5.0, lasts=40.0),
    "S3b": Scenario("three of a hundred accept and do not answer", slow_sinkhole, (0.93,), starts=5.0, lasts=40.0),
    "S4": Scenario("ten of a hundred restart cold", restarts, (1.57,), starts=10.0, lasts=30.0),
    "S5": Scenario("the load doubles within a second", antagonists, (1.57,), level=step_up, starts=20.0, lasts=20.0),
    "S6": Scenario("two routes: 5 ms, and 200 ms for a tenth", antagonists, (1.27,), two_routes(), 0.0245),
    "S7": Scenario("probes per request", antagonists, (1.5,), probes=(4.0, 2.83, 2.0, 1.41, 1.0, 0.71, 0.5)),
    "S8": Scenario("reports missing, zero, wrong and late", antagonists, (1.27,), faulty_reports=True),
    "S9": Scenario("work with a heavy tail", antagonists, (1.27,), pareto()),
}
