"""Chaos as the supervisor has it: the controller and the monkey of the configuration that is served.

Law of this file: when it ends, nothing goes on any more.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from time import monotonic

from ...configuration.sections.chaos import ChaosSection
from .audit import Audit
from .contract import ChaosTarget, ExperimentClock
from .controller import Controller
from .monkey import Monkey

log = logging.getLogger("qantara")

LOOK_EVERY = 1.0
"""Seconds between two looks at what experiments do."""


class SystemClock:
    """The clocks of this machine."""

    def monotonic(self) -> float:
        return monotonic()

    def now(self) -> datetime:
        return datetime.now().astimezone()


class ChaosService:
    """Everything about chaos that is not on the data path. Costs a look per second, none while it is not enabled."""

    def __init__(self, settings: ChaosSection, target: ChaosTarget, clock: ExperimentClock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.controller = Controller(settings, target, self.clock, _audit(settings))
        self.monkey = self._monkey(settings)

    def _monkey(self, settings: ChaosSection) -> Monkey | None:
        if settings.monkey is None or not settings.enabled:
            return None
        return Monkey(settings.monkey, self.controller, self.clock)

    async def adopt(self, settings: ChaosSection) -> None:
        """The configuration has changed."""
        changed = settings != self.controller.settings
        await self.controller.adopt(settings, _audit(settings))
        if changed:
            self.monkey = self._monkey(settings)

    async def run(self) -> None:
        """Watch, until cancelled."""
        try:
            while True:
                if self.controller.settings.enabled:
                    await self.tick()
                await asyncio.sleep(LOOK_EVERY)
        finally:
            await self.controller.stop("the end of the supervisor")

    async def tick(self) -> None:
        """Once per second."""
        try:
            await self.controller.tick()
            if self.monkey is not None:
                await self.monkey.tick()
        except Exception:  # the task that watches experiments survives a defect in one
            log.exception("a defect of the proxy, while watching chaos experiments")


def _audit(settings: ChaosSection) -> Audit | None:
    return Audit(settings.audit) if settings.audit is not None else None
