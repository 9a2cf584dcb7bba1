"""The endpoints of the admin API.

Law of this file: a request is checked whole before anything changes; what is refused answers 400 or 404 with what
would be right, as RFC 9457 writes it. Answers are JSON, but for /metrics.
"""

from __future__ import annotations

import logging
from typing import Any, Literal

from aiohttp import web
from aiohttp.typedefs import Middleware

from ...configuration.fields import Section
from ...errors import REASONS, BindError
from ...scoreboard import STATE, STATES, WEIGHT
from ...upstream.backend import BackendSpec
from ...upstream.spec import GroupSpec
from .answers import answer, as_problems, parsed
from .backends import BackendEndpoints
from .balancing import BalancingEndpoints
from .chaos import ChaosEndpoints
from .contract import Control
from .exposition import expose
from .guard import refused
from .top import TopEndpoints
from .views import backend_view, upstream_view

BODY_MAX = 65_536


class BackendChange(Section):
    """What an operator may change about a backend."""

    state: Literal["ready", "drain", "maint"] = "ready"
    weight: int | None = None


class LogLevel(Section):
    level: Literal["debug", "info", "warning", "error"]


def application(control: Control, guarded: Middleware | None) -> web.Application:
    """The whole API, behind the middleware `guarded` if there is one."""
    middlewares = [as_problems] if guarded is None else [as_problems, guarded]
    app = web.Application(client_max_size=BODY_MAX, middlewares=middlewares)
    for endpoints in (Endpoints, BackendEndpoints, BalancingEndpoints, ChaosEndpoints, TopEndpoints):
        app.add_routes(endpoints(control).routes())
    return app


class Endpoints:
    """State, counters, and changes of the whole proxy."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/status", self.status),
            web.get("/config", self.config),
            web.get("/metrics", self.metrics),
            web.get("/reasons", self.reasons),
            web.get("/upstreams", self.upstreams),
            web.get("/upstreams/{name}", self.upstream),
            web.put("/upstreams/{name}/backends/{address:.+}", self.change_backend),
            web.put("/log-level", self.log_level),
            web.post("/reload", self.reload),
            web.post("/reopen", self.reopen),
            web.post("/stop", self.stop),
            web.post("/upgrade", self.upgrade),
        ]

    # --- what is ---

    async def healthz(self, _: web.Request) -> web.Response:
        return answer({"alive": True})

    async def readyz(self, _: web.Request) -> web.Response:
        ready = self.control.ready()
        return answer({"ready": ready}, 200 if ready else 503)

    async def status(self, _: web.Request) -> web.Response:
        return answer(self.control.status())

    async def config(self, _: web.Request) -> web.Response:
        """The configuration as it runs, every default written out; without secrets."""
        shown = self.control.config.model_dump(mode="json")
        if (shown.get("admin") or {}).get("token"):
            shown["admin"]["token"] = "(not shown)"
        for limit in shown["rate_limits"].values():
            if limit["shared"] and "@" in limit["shared"]["url"]:
                limit["shared"]["url"] = "(not shown)@" + limit["shared"]["url"].rpartition("@")[2]
        if shown["tracing"]:
            shown["tracing"]["headers"] = dict.fromkeys(shown["tracing"]["headers"], "(not shown)")
        return answer(shown)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=expose(self.control), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def reasons(self, _: web.Request) -> web.Response:
        return answer([{"name": reason.name, **reason._asdict()} for reason in REASONS])

    async def upstreams(self, _: web.Request) -> web.Response:
        reports = await self._reports()
        return answer([upstream_view(self.control, spec, reports) for spec in self.control.specs().values()])

    async def upstream(self, request: web.Request) -> web.Response:
        spec = self.control.specs().get(request.match_info["name"])
        if spec is None:
            return self._no_upstream(request)
        return answer(upstream_view(self.control, spec, await self._reports()))

    async def _reports(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The last load report of each backend, of all workers; {} without an upstream that reads reports."""
        found: dict[tuple[str, str], dict[str, Any]] = {}
        if any(spec.reports is not None for spec in self.control.specs().values()):
            for told in await self.control.ask_all("reports"):
                assert isinstance(told, dict)
                for key, report in told.items():
                    if key not in found or report["seconds"] < found[key]["seconds"]:
                        found[key] = report
        return found

    # --- what is changed ---

    async def change_backend(self, request: web.Request) -> web.Response:
        """state: ready, drain or maint; weight: 0 to 256, or null for the configured one. What is not named stays."""
        spec = self.control.specs().get(request.match_info["name"])
        if spec is None:
            return self._no_upstream(request)
        backend = backend_of(spec, request.match_info["address"])
        if backend is None:
            there = ", ".join(each.address for each in spec.backends)
            return refused(
                404, f"upstream {spec.name} has no backend {request.match_info['address']}; there is {there}"
            )
        change = await parsed(request, BackendChange)
        if isinstance(change, web.Response):
            return change
        if not change.model_fields_set:
            return refused(400, "the body must have state, weight or both")
        if change.weight is not None and not 0 <= change.weight <= 256:
            return refused(400, f"weight: must be from 0 to 256, not {change.weight}")
        rows = self.control.board.backend_rows(spec.name, backend.address)
        if "state" in change.model_fields_set:
            rows[STATE] = STATES.index(change.state)
        if "weight" in change.model_fields_set:
            rows[WEIGHT] = 0 if change.weight is None else change.weight + 1
        self.control.board.changed(0)
        told = change.model_dump(exclude_unset=True)
        logging.getLogger("qantara").info("admin: upstream %s, backend %s: %s", spec.name, backend.address, told)
        return answer(backend_view(self.control, spec.name, backend))

    def _no_upstream(self, request: web.Request) -> web.Response:
        there = ", ".join(self.control.specs()) or "none"
        return refused(404, f"there is no upstream {request.match_info['name']}; there is {there}")

    async def log_level(self, request: web.Request) -> web.Response:
        wanted = await parsed(request, LogLevel)
        if isinstance(wanted, web.Response):
            return wanted
        level = wanted.level.upper()
        logging.getLogger().setLevel(level)
        await self.control.ask_all("log_level", level)
        return answer({"level": wanted.level})

    async def reload(self, _: web.Request) -> web.Response:
        result = await self.control.reload()
        return answer(result._asdict(), 200 if result.ok else 422)

    async def reopen(self, _: web.Request) -> web.Response:
        await self.control.ask_all("reopen")
        return answer({"reopened": True})

    async def stop(self, _: web.Request) -> web.Response:
        self.control.stop()
        return answer({"stopping": True}, 202)

    async def upgrade(self, _: web.Request) -> web.Response:
        try:
            return answer({"pid": await self.control.upgrade()})
        except BindError as error:
            return answer({"problems": [str(error)]}, 500)


def backend_of(spec: GroupSpec, address: str) -> BackendSpec | None:
    """The backend of an upstream with this address."""
    return next((backend for backend in spec.backends if backend.address == address), None)
