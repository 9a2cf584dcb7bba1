"""Chaos experiments by the admin API: what goes on, start, repeat, stop, the audit log.

Law of this file: an experiment that is refused answers 409 with every reason, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from ...configuration.fields import Section
from ...configuration.sections.chaos import ChaosRule, experiment_of
from ...errors import ChaosRefused, QantaraError
from ...features.chaos.experiment import OFF_PATH, Experiment, malformed
from ..chaos.controller import Controller, Run
from .answers import answer, parsed
from .contract import Control
from .guard import refused

WHO = "the admin API"
MOST_RECORDS = 1000


class Start(Section):
    """An experiment of the configuration, by its name, or one that is described here as there."""

    name: str | None = None
    rule: ChaosRule | None = None
    dry_run: bool | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class Replay(Section):
    run: str
    dry_run: bool | None = None


class ChaosEndpoints:
    """The endpoints below /chaos."""

    def __init__(self, control: Control) -> None:
        self.control = control

    @property
    def controller(self) -> Controller:
        return self.control.chaos.controller

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/chaos", self.report),
            web.get("/chaos/audit", self.audit),
            web.post("/chaos/experiments", self.start),
            web.post("/chaos/replay", self.replay),
            web.delete("/chaos", self.stop),
        ]

    async def report(self, _: web.Request) -> web.Response:
        tallies = {rule: tally._asdict() for rule, tally in (await self.controller.target.tallies()).items()}
        return answer(self.controller.report() | {"tallies": tallies})

    async def audit(self, request: web.Request) -> web.Response:
        """The last records of the audit log, the newest last."""
        text = request.query.get("last", "20")
        if not text.isdigit() or not 1 <= int(text) <= MOST_RECORDS:
            return refused(400, f"last: must be a number from 1 to {MOST_RECORDS}, not {text[:40]!r}")
        log = self.controller.audit
        return answer(list(log.read())[-int(text) :] if log is not None else [])

    async def start(self, request: web.Request) -> web.Response:
        wanted = await parsed(request, Start)
        if isinstance(wanted, web.Response):
            return wanted
        if (wanted.name is None) == (wanted.rule is None):
            return refused(400, "give either name, of a rule of the configuration, or rule")

        async def begin() -> Run:
            return await self.controller.start(self._experiment(wanted), WHO, dry_run=wanted.dry_run, seed=wanted.seed)

        return await self._tried(begin)

    def _experiment(self, wanted: Start) -> Experiment:
        if wanted.rule is None:
            return self.controller.named(wanted.name or "")
        found = experiment_of(wanted.rule, self.controller.settings.limits.duration)
        wrong = list(malformed(found)) if found.stage or found.fault in OFF_PATH else [f"there is no {found.fault}"]
        if wrong:
            raise ChaosRefused(wrong)
        return found

    async def replay(self, request: web.Request) -> web.Response:
        wanted = await parsed(request, Replay)
        if isinstance(wanted, web.Response):
            return wanted
        return await self._tried(lambda: self.controller.replay(wanted.run, WHO, wanted.dry_run))

    async def _tried(self, do: Callable[[], Awaitable[Run]]) -> web.Response:
        try:
            run = await do()
        except ChaosRefused as error:
            body: dict[str, Any] = {"status": 409, "detail": str(error), "refusals": list(error.refusals)}
            return web.json_response(body, status=409, content_type="application/problem+json")
        except (QantaraError, OSError) as error:
            return refused(500, f"the experiment was not started: {error}")
        return answer(run.as_json(), 201)

    async def stop(self, _: web.Request) -> web.Response:
        return answer({"stopped": await self.controller.stop(WHO)})
