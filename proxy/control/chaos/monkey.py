"""A Chaos Monkey: now and then, in working hours, a random backend or worker.

Law of this file: it only proposes; everything that speaks against an experiment speaks against its, too. On its leash
it runs them dry. (After Netflix's Chaos Monkey, which is leashed by default as well.)
"""

from __future__ import annotations

import logging
from random import Random

from ...configuration.sections.chaos import ChaosMonkey
from ...errors import QantaraError
from ...features.chaos.experiment import Experiment
from .contract import ExperimentClock
from .controller import Controller
from .safety import opted_out

log = logging.getLogger("qantara")

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHO = "chaos monkey"


class Monkey:
    """Rolls its dice once per interval."""

    def __init__(self, settings: ChaosMonkey, controller: Controller, clock: ExperimentClock) -> None:
        self.settings = settings
        self.controller = controller
        self.clock = clock
        self.dice = Random(settings.seed)
        self.due = clock.monotonic() + settings.interval

    def at_work(self) -> bool:
        """Whether it is within working hours."""
        now, settings = self.clock.now(), self.settings
        return DAYS[now.weekday()] in settings.days and settings.from_hour <= now.hour < settings.to_hour

    async def tick(self) -> None:
        """Once per second: roll the dice, if it is time."""
        if self.clock.monotonic() < self.due:
            return
        self.due = self.clock.monotonic() + self.settings.interval
        if not self.at_work() or self.dice.random() >= self.settings.probability:
            return
        experiment = self.choose()
        if experiment is None:
            return
        try:
            await self.controller.start(
                experiment, WHO, dry_run=self.settings.leashed, seed=self.dice.randrange(1 << 31)
            )
        except QantaraError as error:
            log.info("the chaos monkey does nothing: %s", error)

    def choose(self) -> Experiment | None:
        """A victim. Which backend of the upstream it is, is drawn with all the others'."""
        duration = self.controller.settings.limits.duration
        if self.dice.choice(self.settings.victims) == "worker":
            return Experiment("monkey-worker", "worker_kill", duration=duration)
        opt_out = self.controller.settings.opt_out
        names = [
            name
            for name, upstream in sorted(self.controller.target.upstreams().items())
            if any(not opted_out(name, member.address, opt_out) for member in upstream.members)
        ]
        if not names:
            return None
        upstream = self.dice.choice(names)
        return Experiment("monkey-backend", "connect_refused", "connect", duration=duration, upstreams=(upstream,))
