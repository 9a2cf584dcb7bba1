"""The proxy as a test has it: in the loop of the test, on a free port, from a piece of YAML.

async with running("upstreams: {app: {backends: [127.0.0.1:9001]}}\\nroutes: [{upstream: app}]") as proxy:
    async with connect(proxy.address) as client: ...
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from proxy.balancing.wrappers.time_guard import TimeGuard
from proxy.configuration.load import load_text
from proxy.server.proxy import Proxy
from tests.support.plans import linked

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Running:
    """`address` is that of its first listener: (host, port), or the path of a Unix socket."""

    proxy: Proxy
    address: tuple[str, int] | str

    @property
    def url(self) -> str:
        """Base URL without a slash at the end; only for a TCP listener."""
        assert not isinstance(self.address, str)
        return "http://{}:{}".format(*self.address)


@asynccontextmanager
async def running(yaml: str) -> AsyncIterator[Running]:
    """Runs `yaml`, on a free port and with the access log off unless the text says otherwise."""
    async with Proxy(linked(load_text(completed(yaml), "test.yaml").config)) as proxy:
        first = proxy.addresses[0]
        address = first if isinstance(first, str) else (first[0], first[1])
        yield Running(proxy, address)


def completed(yaml: str) -> str:
    """With a free port, and with the access log off, unless the text says otherwise."""
    if "listeners:" not in yaml:
        yaml += "\nlisteners: [{bind: '127.0.0.1:0'}]\n"
    if "access_log:" not in yaml:
        yaml += "\naccess_log: null\n"
    return yaml


async def adopt(proxy: Proxy, yaml: str) -> None:
    """Take another configuration up, compiled beside the loop, as a reload does."""
    config = load_text(completed(yaml)).config
    await proxy.adopt(await asyncio.to_thread(linked, config, registry=proxy.registry))


def unwatched(balancer: Any, kind: type[T]) -> T:
    """An algorithm of a test's own, out of what times it."""
    assert isinstance(balancer, TimeGuard)
    found: Any = balancer.inner
    assert isinstance(found, kind)
    return found


def to_backends(*addresses: str, more: str = "") -> str:
    """YAML that sends every request to these backends; `more` goes into the upstream as it stands."""
    backends = ", ".join(f"'{address}'" for address in addresses)
    extra = f", {more}" if more else ""
    routes = "routes: [{upstream: app, upgrades: [websocket]}]"
    return f"upstreams: {{app: {{backends: [{backends}]{extra}}}}}\n{routes}\n"
