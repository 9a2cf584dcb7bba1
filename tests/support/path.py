"""The usual set-up of a data path test: a scripted origin, the proxy before it, and a raw client.

    async with path([request(), response(b"hi")]) as way:
        got = await way.client.request(GET)

Invariant: nothing here waits for a time, only for a state (`until_true`), and a state that never comes fails.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from proxy.server.proxy import Proxy
from proxy.upstream.backend import Backend
from proxy.upstream.pool import Pool

from . import PATIENCE
from .client import RawClient, Response, connect
from .origin import Origin, Script
from .running import Running, running

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GET_1_0 = b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def get(*lines: bytes, target: bytes = b"/") -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: x", *lines, b"", b""])


def post(body: bytes, target: bytes = b"/") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (target, len(body), body)


def config(address: str, upstream: str = "", route: str = "", more: str = "") -> str:
    """YAML for one backend; `upstream` and `route` are further keys in flow style, `more` is top-level."""
    return (
        f"upstreams: {{app: {{backends: ['{address}'], {upstream}}}}}\nroutes: [{{upstream: app, {route}}}]\n{more}\n"
    )


@dataclass(frozen=True, slots=True)
class Path:
    origin: Origin
    running: Running
    client: RawClient

    @property
    def proxy(self) -> Proxy:
        return self.running.proxy

    @property
    def open(self) -> set[Any]:
        """The client connections of the proxy."""
        assert self.proxy.acceptor is not None
        return self.proxy.acceptor.open

    @property
    def backend(self) -> Backend:
        return backend_of(self.proxy)

    @property
    def pool(self) -> Pool:
        pool = self.backend.pool
        assert isinstance(pool, Pool)
        return pool


@asynccontextmanager
async def path(
    *scripts: Script,
    forever: bool = False,
    upstream: str = "",
    route: str = "",
    more: str = "",
    receive_buffer: int | None = None,
) -> AsyncIterator[Path]:
    """`scripts` as for `Origin`, the texts as for `config`."""
    async with (
        Origin(*scripts, forever=forever) as origin,
        running(config(origin.address, upstream, route, more)) as proxy,
        connect(proxy.address, receive_buffer=receive_buffer) as client,
    ):
        yield Path(origin, proxy, client)


def backend_of(proxy: Proxy) -> Backend:
    """The first backend of the first upstream."""
    return next(iter(proxy.plan.groups.values())).members.all[0]


def reason_of(response: Response) -> str:
    """The reason that Proxy-Status names (RFC 9209), "" if the proxy did not make this response."""
    status = response.header(b"proxy-status")
    match = re.fullmatch(rb'qantara(?:; error=[a-z_]+)?; details="([a-z_.0-9]+)"', status or b"")
    assert status is None or match is not None, status
    return match[1].decode() if match is not None else ""


def made(response: Response) -> tuple[int, str]:
    """Status and reason of a response that the proxy made."""
    return response.status, reason_of(response)


async def until_true(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(patience):
        while not condition():  # noqa: ASYNC110  # what is waited for is inside the proxy, which sets no event
            await asyncio.sleep(0.002)


async def until_counted(proxy: Proxy, reason: str, times: int = 1) -> None:
    """Until a request was given up for this reason so many times."""
    await until_true(lambda: proxy.counters.reasons.get(reason, 0) >= times)
