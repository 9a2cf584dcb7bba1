"""The proxy between backends that do wrong and clients that look closely.

Law of this file: everything is real but the clock of nothing: sockets, the proxy as it serves, its plan and its
scoreboard. When a world ends, it says what is left over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from proxy.configuration.load import load_text
from proxy.control.chaos import view
from proxy.control.chaos.contract import Sample, UpstreamState
from proxy.features.chaos import Injector, Rule, Tally
from proxy.metrics import U_ACTIVE
from proxy.plan import Plan
from proxy.scoreboard import DOWN, HEALTH, STATE, STATES, UNKNOWN, UP
from proxy.server.proxy import Proxy
from proxy.upstream.backend import Backend
from tests.support.path import until_true
from tests.support.plans import linked

from .backends import Server
from .load import Address, Client, Outcome, Results

log = logging.getLogger("qantara")

SHORT = "timeouts: {response_head: 300ms, response_idle: 300ms, head: 300ms, body_idle: 300ms}"
SHORT_CONNECT = "timeouts: {connect: 300ms}"
"""Time-outs that a scenario can wait for. It says so: in any other what comes late on a loaded machine would count."""


class Defects(logging.Handler):
    """Tracebacks that the proxy has logged: there should be none, whatever happens to it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.found.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


class World:
    """Backends, the proxy, and its clients' results. It is also what chaos experiments have their hands on."""

    def __init__(
        self, backends: int, upstream: str = "", route: str = "", more: str = "", also: Sequence[str] = ()
    ) -> None:
        self.servers = [Server() for _ in range(backends)]
        self.used = list(self.servers)
        """Those that the configuration names."""
        self.upstream, self.route, self.more, self.also = upstream, route, more, list(also)
        self.results = Results()
        self.side = Results()
        """Of clients that are there to do harm."""
        self.injector = Injector()
        self.defects = Defects()
        self.tasks: list[asyncio.Task[Any]] = []
        self.clients: list[Client] = []
        """Those that may still have a connection."""
        self.facts: dict[str, Any] = {}
        """What a scenario wants to remember."""

    async def __aenter__(self) -> Self:
        log.addHandler(self.defects)
        for server in self.servers:
            await server.start()
        self.proxy = Proxy(self.plan())
        await self.proxy.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for client in self.clients:
            client.drop()
        await self.proxy.close()
        for server in self.servers:
            await server.close()
        for client in self.clients:
            await client.closed()
        log.removeHandler(self.defects)

    @property
    def address(self) -> Address:
        return self.proxy.addresses[0]

    @property
    def backends(self) -> Sequence[Backend]:
        return self.proxy.plan.groups["app"].members.all

    def text(self) -> str:
        addresses = [server.address for server in self.used] + self.also
        return (
            f"listeners: [{{bind: '127.0.0.1:0'}}]\naccess_log: null\n{self.more}\n"
            f"upstreams: {{app: {{backends: {addresses}, {self.upstream}}}}}\n"
            f"routes: [{{name: all, upstream: app, {self.route}}}]\n"
        )

    def plan(self) -> Plan:
        registry = self.proxy.registry if hasattr(self, "proxy") else None
        return linked(load_text(self.text()).config, registry=registry, injector=self.injector)

    def spawn(self, coroutine: Any) -> None:
        """Let something go on beside the load, until it or the world ends."""
        self.tasks.append(asyncio.get_running_loop().create_task(coroutine))

    # --- what an operator does ---

    async def reload(self) -> None:
        await self.proxy.adopt(self.plan())

    def set_cell(self, number: int, cell: int, value: int) -> None:
        """Write what the supervisor would about a backend."""
        self.backends[number].rows[cell] = value
        self.proxy.board.changed(0)

    async def health(self, number: int, up: bool | None) -> None:
        """What active checks find."""
        self.set_cell(number, HEALTH, UNKNOWN if up is None else UP if up else DOWN)
        await self.noticed()

    async def state(self, number: int, name: str) -> None:
        self.set_cell(number, STATE, STATES.index(name))
        await self.noticed()

    async def noticed(self) -> None:
        """Until the worker has seen what is on the board."""
        await until_true(lambda: self.proxy.registry.epoch == self.proxy.board.epoch())

    # --- the hands of experiments ---

    def sample(self) -> Sample:
        return view.sample(self.proxy.board)

    def upstreams(self) -> Mapping[str, UpstreamState]:
        return view.upstreams(self.proxy.board, self.proxy.plan.specs.values())

    def workers(self) -> Sequence[int]:
        return (1,)

    async def set_rules(self, rules: Sequence[Rule]) -> None:
        before, self.injector = self.injector, Injector(rules)
        await self.proxy.adopt(self.plan())
        before.stop()

    async def tallies(self) -> Mapping[str, Tally]:
        return self.injector.tallies()

    async def kill_worker(self, slot: int) -> None:
        raise NotImplementedError("the only worker is never killed")

    async def set_backend_state(self, upstream: str, address: str, state: str) -> None:
        await self.state(self._number(address), state)

    async def lie(self, upstream: str, address: str, healthy: bool | None, until: float) -> None:
        await self.health(self._number(address), healthy)

    def _number(self, address: str) -> int:
        return next(number for number, backend in enumerate(self.backends) if backend.name == address)

    # --- afterwards ---

    async def request(self, method: str = "GET") -> Outcome:
        """One request by somebody else, on a connection of its own."""
        client = Client(self.address)
        outcome = await client.request(method)
        client.drop()
        return outcome

    def left_over(self) -> str:
        """What should be nothing when everybody has his answer."""
        found = {"requests": self.proxy.counters.in_flight, "held": len(self.injector.held)}
        for name, group in self.proxy.plan.groups.items():
            found[f"queue of {name}"] = group.queue.length
            found[f"active at {name}"] = group.stats.total(U_ACTIVE)
            for backend in group.members.all:
                pool = backend.pool
                found[f"in flight at {backend.name}"] = backend.load()
                found[f"waiting for {backend.name}"] = len(pool.waiting)
                found[f"busy at {backend.name}"] = pool.size - len(pool.idle) - pool.opening
        return ", ".join(f"{count} {what}" for what, count in found.items() if count)
