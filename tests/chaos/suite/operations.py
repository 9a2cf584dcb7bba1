"""What operators do, and chaos experiments themselves, under load."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from proxy.configuration.load import load_text
from proxy.control.chaos.audit import Audit
from proxy.control.chaos.controller import Controller
from proxy.control.chaos.monkey import Monkey
from proxy.control.chaos.service import SystemClock
from proxy.features.chaos.experiment import Experiment
from tests.support import PATIENCE

from . import backends as b
from .load import Load
from .scenario import Scenario, Step, all_succeed, asked_at_least, asked_at_most, at_least, fact, only, success
from .steps import add_backend, all_behave, asked_so_far, checked, inject, kill, reload, remove_backend, state
from .world import World

LONG = Load(400)
IN_FLIGHT = 8
MANY = Load(3000, 16)


def untouched(number: int) -> Callable[[World], object]:
    """A backend that was taken out got no more than what was on its way."""
    return lambda world: world.servers[number].requests <= world.facts[f"asked {number}"] + IN_FLIGHT


class Experimenter:
    """A controller with its hands on a world, and limits that fit a second."""

    def __init__(self, world: World, more: str) -> None:
        self.file, name = tempfile.mkstemp(suffix=".jsonl")
        text = world.text() + (
            f"chaos: {{enabled: true, environment: test, audit: {name}, i_understand: true, "
            f"monkey: {{victims: [backend], leashed: false, probability: 100%, interval: 50ms, "
            f"from_hour: 0, to_hour: 24, days: [mon, tue, wed, thu, fri, sat, sun], seed: 1}}, "
            f"limits: {{cool_down: 0s, min_healthy: 60%, traffic: 100%, {more}}}}}\n"
        )
        self.settings = load_text(text).config.chaos
        self.audit = Audit(name)
        self.controller = Controller(self.settings, world, SystemClock(), self.audit, Random(1))
        assert self.settings.monkey is not None
        self.monkey = Monkey(self.settings.monkey, self.controller, SystemClock())

    async def watch(self) -> None:
        """As the supervisor does, but faster."""
        try:
            while True:
                await self.controller.tick()
                await asyncio.sleep(0.01)
        finally:
            await self.controller.stop("the end")
            os.close(self.file)
            Path(self.audit.path).unlink()


def experiment(about: Experiment, limits: str = "", after: int = 20) -> Step:
    """An experiment is started; the load waits for its verdict, or goes on until then."""

    async def act(world: World) -> None:
        lab = Experimenter(world, limits)
        await lab.controller.start(about, "a scenario", dry_run=False)
        world.spawn(lab.watch())
        async with asyncio.timeout(PATIENCE):
            while not world.facts.get("verdict"):
                ends = [record for record in lab.audit.read() if record["event"] == "end"]
                world.facts["verdict"] = ends[0]["verdict"] if ends else ""
                await asyncio.sleep(0.01)

    return Step(after, f"an experiment: {about.fault}", act)


def monkey(rounds: int, after: int = 20) -> Step:
    """A monkey off its leash."""

    async def act(world: World) -> None:
        lab = Experimenter(world, "duration: 60ms")
        world.spawn(lab.watch())
        async with asyncio.timeout(PATIENCE):
            while world.facts.get("starts", 0) < rounds:
                await lab.monkey.tick()
                world.facts["starts"] = sum(record["event"] == "start" for record in lab.audit.read())
                await asyncio.sleep(0.01)

    return Step(after, f"a monkey strikes {rounds} times", act)


def drain_proxy(after: int) -> Step:
    """The proxy stops as on SIGTERM."""

    async def act(world: World) -> None:
        world.facts["clean"] = await world.proxy.drain()

    return Step(after, "the proxy drains", act)


OPERATORS = (
    Scenario(
        "a backend is drained",
        [
            state(0, "drain", after=100),
            asked_so_far(0, 100),
        ],
        [all_succeed(), fact("it gets no more", untouched(0))],
        load=LONG,
    ),
    Scenario(
        "a backend is drained and killed", [state(0, "drain", after=40), kill(0, after=100)], [all_succeed()], load=LONG
    ),
    Scenario(
        "a backend comes back from maintenance",
        [state(0, "maint"), state(0, "ready", after=50)],
        [all_succeed(), asked_at_least(0, 3)],
        load=LONG,
    ),
    Scenario("checks find a backend ill", [checked(0, False)], [all_succeed(), asked_at_most(0, 0)]),
    Scenario("checks lie: a dead backend is well", [kill(0), checked(0, True)], [all_succeed()]),
    Scenario("checks find every backend ill", [checked(n, False) for n in range(3)], [all_succeed()]),
    Scenario("every backend is drained", [state(n, "drain") for n in range(3)], [only("503")]),
    Scenario(
        "the configuration is loaded anew, again and again",
        [reload(20 * n, 4) for n in range(1, 18)],
        [all_succeed()],
        load=LONG,
    ),
    Scenario(
        "a reload adds a backend",
        [add_backend(after=100)],
        [all_succeed(), asked_at_least(3, 10)],
        load=LONG,
        upstream="slow_start: null",
    ),
    Scenario(
        "a reload removes a backend",
        [asked_so_far(0, 100), remove_backend(0, after=100)],
        [all_succeed(), fact("it gets no more", untouched(0))],
        load=LONG,
    ),
    Scenario(
        "a backend is removed and another one killed",
        [remove_backend(0, after=100), kill(1, after=150)],
        [all_succeed()],
        load=LONG,
    ),
    Scenario(
        "rules are active during a reload",
        [inject(("send", "delay", {"share": 0.1, "seed": 1})), reload(50, 5)],
        [all_succeed()],
    ),
    Scenario(
        "the proxy drains",
        [all_behave("take 5 ms", b.slow(0.005)), drain_proxy(after=50)],
        [only("200", "refused"), at_least(50, "200"), fact("it ends clean", lambda w: w.facts["clean"])],
    ),
)

EXPERIMENTS = (
    Scenario(
        "an experiment that nobody notices passes",
        [experiment(Experiment("dead", "connect_refused", "connect", duration=0.3), "within: 100ms")],
        [all_succeed(), fact("it has passed", lambda w: w.facts["verdict"] == "passed")],
        load=MANY,
    ),
    Scenario(
        "an experiment that does harm is stopped",
        [experiment(Experiment("harm", "abort", "admit", share=0.5, duration=5.0), "within: 50ms")],
        [only("200", "503"), fact("it was stopped", lambda w: w.facts["verdict"] == "stopped"), at_least(100, "200")],
        load=MANY,
    ),
    Scenario(
        "an experiment drains a backend and brings it back",
        [experiment(Experiment("drain", "backend_drain", duration=0.1))],
        [all_succeed(), fact("all are back", lambda w: all(each.in_rotation() for each in w.backends))],
        load=MANY,
    ),
    Scenario(
        "an experiment lies about a backend's health",
        [experiment(Experiment("lie", "health_lie", duration=0.1))],
        [all_succeed(), fact("it is over", lambda w: w.facts["verdict"] == "passed")],
        load=MANY,
    ),
    Scenario(
        "a monkey without a leash",
        [monkey(5)],
        [success(0.999), fact("it was there", lambda w: w.facts["starts"] >= 5)],
        load=MANY,
    ),
)

ADDRESSES = (
    Scenario(
        "the name of a backend does not resolve", [], [all_succeed()], backends=2, also=("no-such-host.invalid:80",)
    ),
    Scenario("the port of a backend is closed", [], [all_succeed()], backends=2, also=("127.0.0.1:1",)),
    Scenario(
        "the socket of a backend is not there", [], [all_succeed()], backends=2, also=("unix:/nonexistent/app.sock",)
    ),
    Scenario(
        "no backend is there at all",
        [],
        [only("502", "503")],
        backends=0,
        also=("127.0.0.1:1", "unix:/nonexistent/app.sock"),
    ),
)

ALL = (*OPERATORS, *EXPERIMENTS, *ADDRESSES)
