"""Backends that are added and removed while the proxy runs; what a reload would change, and what a request would meet.

Law of this file: what is refused changes nothing. A change that is written back goes into the file first and is then
taken up by a reload, so that file and proxy cannot come to say different things.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, Strict

from ...configuration.diff import diff_against
from ...configuration.fields import HeaderValue, List, Section, Token
from ...configuration.picking import try_own
from ...configuration.sections.backends import BackendSection, spec_of
from ...configuration.writeback import write_back
from ...errors import ConfigError, DiscoveryError, WriteBackError
from ...plan import PlanSpec
from ...upstream.backend import BackendSpec
from ..explain import explain, parse_client, request_bytes
from ..reload import problems_of
from .answers import answer, parsed
from .balancing import explained
from .contract import Control
from .guard import refused


class NewBackend(BackendSection):
    """A backend as the configuration writes one, and whether it is written there."""

    write_back: bool = False


class Question(Section):
    """A request to explain, which is not sent."""

    method: Token = "GET"
    url: str
    headers: List[Annotated[tuple[Token, HeaderValue], Strict(False)]] = ()
    client: Annotated[str, AfterValidator(parse_client)] = "127.0.0.1"


class BackendEndpoints:
    """The endpoints that change which backends there are."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/discovery", self.sources),
            web.post("/upstreams/{name}/backends", self.add),
            web.delete("/upstreams/{name}/backends/{address:.+}", self.remove),
            web.post("/diff", self.diff),
            web.post("/explain", self.explain),
        ]

    async def sources(self, _: web.Request) -> web.Response:
        """The sources of the backends of each upstream."""
        return answer([_shown(report._asdict()) for report in self.control.discovery.report()])

    async def add(self, request: web.Request) -> web.Response:
        wanted = await parsed(request, NewBackend)
        if isinstance(wanted, web.Response):
            return wanted
        upstream = request.match_info["name"]
        spec = spec_of(wanted)
        discovery = self.control.discovery
        try:
            present = discovery.backends(upstream)
            if any(each.address == spec.address for each in present):
                return refused(409, f"upstream {upstream} has {spec.address} already")
            if wanted.write_back:
                return await self._written(upstream, (*discovery.to_write(upstream), spec))
            if spec.priority and not self._levels(upstream, present):
                return refused(409, f"upstream {upstream} has one priority only; write_back the first of another one")
            discovery.add(upstream, spec)
        except DiscoveryError as error:
            return refused(404, str(error))
        return answer(_shown(spec._asdict()), 201)

    def _levels(self, upstream: str, present: Iterable[BackendSpec]) -> bool:
        """Whether the algorithms that serve know priorities (see compile_balance)."""
        in_file = self.control.specs()[upstream].balance.overprovisioning is not None
        return in_file or any(each.priority for each in present)

    async def remove(self, request: web.Request) -> web.Response:
        upstream, address = request.match_info["name"], request.match_info["address"]
        in_file = request.query.get("write_back", "false")
        discovery = self.control.discovery
        try:
            if in_file not in ("true", "false"):
                return refused(400, f"write_back: must be true or false, not {in_file[:40]!r}")
            if in_file == "true":
                listed = discovery.to_write(upstream)
                left = tuple(each for each in listed if each.address != address)
                if len(left) == len(listed):
                    return refused(409, f"the file does not list {address} for upstream {upstream}")
                return await self._written(upstream, left)
            spec = discovery.remove(upstream, address)
        except DiscoveryError as error:
            return refused(404, str(error))
        return answer(_shown(spec._asdict()))

    async def _written(self, upstream: str, backends: tuple[BackendSpec, ...]) -> web.Response:
        control = self.control
        try:
            await asyncio.to_thread(write_back, control.path, control.checked.digest, upstream, backends)
        except WriteBackError as error:
            return refused(409, str(error))
        result = await control.reload()
        return answer(result._asdict(), 200 if result.ok else 422)

    async def diff(self, _: web.Request) -> web.Response:
        """What a reload would change."""
        try:
            found = await asyncio.to_thread(diff_against, self.control.config, self.control.path)
        except ConfigError as error:
            return answer({"problems": problems_of(error)}, 422)
        return answer({"changes": [change._asdict() for change in found.changes]})

    async def explain(self, request: web.Request) -> web.Response:
        """What would happen to a request."""
        wanted = await parsed(request, Question)
        if isinstance(wanted, web.Response):
            return wanted
        control = self.control
        members = {name: spec.backends for name, spec in control.specs().items()}
        plan = control.checked.plan.with_members(members)
        try:
            data = request_bytes(wanted.method, wanted.url, wanted.headers)
        except ValueError as error:
            return refused(400, f"url: {error}")
        try:
            told = await asyncio.to_thread(explained_now, control, plan, data, wanted.client)
        except (ConfigError, ValueError) as error:
            return refused(422, "; ".join(problems_of(error)))
        if "forward" in told:
            told["balance"]["workers"] = await explained(control, told["forward"]["upstream"])
        return answer(told)


def explained_now(control: Control, plan: PlanSpec, request: bytes, client: str) -> dict[str, Any]:
    """What would happen to a request, unless an algorithm of a user's own fails with the backends that there are."""
    try_own(plan.groups.values())
    return explain(control.config, plan, request, client, control.board)


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """Backends, and their labels, as mappings of their own."""
    return {key: dict(value) if key == "labels" else _value(value) for key, value in fields.items()}


def _value(value: Any) -> Any:
    if isinstance(value, BackendSpec):
        return _shown(value._asdict())
    return [_value(each) for each in value] if isinstance(value, tuple | list) else value
