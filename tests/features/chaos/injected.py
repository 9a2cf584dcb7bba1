"""A data path test with chaos rules in the plan.

    async with injected(rule("send", "delay", delay=Delay(0.02)), origin=[request(), response(b"hi")]) as way:
        got = await way.client.request(GET)

Invariant: when the context is left, no exchange is held back any more and nothing is in flight, whatever was injected.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Any

from proxy.configuration.load import load_text
from proxy.exchange import Exchange
from proxy.features.chaos import Injector, Rule
from proxy.server.proxy import Proxy
from tests.support.client import RawClient, connect
from tests.support.origin import Origin, Script, request, response
from tests.support.path import backend_of, until_true
from tests.support.plans import linked
from tests.support.running import Running

LONG = 60.0
ECHO: Script = [request(), response(b"ok")]


def rule(stage: str, fault: str, *, lives: float = LONG, **more: Any) -> Rule:
    """A rule that ends in `lives` seconds."""
    return Rule(more.pop("id", f"{stage} {fault}"), stage, fault, monotonic() + lives, **more)


def asked(method: bytes = b"GET", path: bytes = b"/") -> Exchange:
    """An exchange with a head, and nothing around it."""
    x = Exchange()
    x.head.max_size, x.head.max_target, x.head.max_count = 1000, 1000, 10
    x.head.parse(b"%b %b HTTP/1.1\r\nHost: x\r\n\r\n" % (method, path), 0)
    return x


@dataclass(frozen=True, slots=True)
class Injected:
    origin: Origin
    running: Running
    client: RawClient
    injector: Injector

    @property
    def proxy(self) -> Proxy:
        return self.running.proxy

    @property
    def address(self) -> tuple[str, int] | str:
        return self.running.address

    def nothing_left(self) -> bool:
        backend = backend_of(self.proxy)
        pool = backend.pool
        busy = self.proxy.counters.in_flight + backend.in_flight + len(pool.waiting) + pool.size - len(pool.idle)
        return busy == 0 and not self.injector.held


@asynccontextmanager
async def injected(
    *rules: Rule,
    origin: Script | Sequence[Script] = ECHO,
    upstream: str = "",
    route: str = "",
    more: str = "",
    others: Sequence[str] = (),
    receive_buffer: int | None = None,
) -> AsyncIterator[Injected]:
    """One origin that repeats its script (and `others`, by address), the proxy with `rules`, a client; the texts as for
    `support.path.config`. The life of a rule begins when all is there."""
    began = monotonic()
    scripts: Any = origin if origin and isinstance(origin[0], list | tuple) else [origin]
    injector = Injector(rules)
    async with Origin(*scripts, forever=True) as server:
        text = (
            f"listeners: [{{bind: '127.0.0.1:0'}}]\naccess_log: null\n{more}\n"
            f"upstreams: {{app: {{backends: {[server.address, *others]}, {upstream}}}}}\n"
            f"routes: [{{name: all, upstream: app, {route}}}]\n"
        )
        async with Proxy(linked(load_text(text).config, injector=injector)) as proxy:
            address = proxy.addresses[0]
            async with connect(address, receive_buffer=receive_buffer) as client:
                for live in injector.rules:
                    live.rule = live.rule._replace(until=live.rule.until + monotonic() - began)
                way = Injected(server, Running(proxy, address), client, injector)
                yield way
            await until_true(way.nothing_left)
