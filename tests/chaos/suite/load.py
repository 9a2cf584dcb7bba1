"""Clients, and what came of each request.

Law of this file: a client believes nothing. An answer counts only if it is whole and is for the request that was
made; what takes longer than PATIENCE has hung: every time-out of a scenario is far shorter, so it waits for nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.support import PATIENCE

Address = tuple[str, int] | str

RESET = struct.pack("ii", 1, 0)
_NUMBERS = itertools.count()


class Outcome(NamedTuple):
    """What came of one request: `kind` is a status, or how it failed: cut, refused, hung, foreign."""

    kind: str
    reason: str = ""
    """Of Proxy-Status, if the proxy made the answer."""


class Load(NamedTuple):
    """So many requests by so many clients, each one after another on a connection that it keeps."""

    requests: int = 150
    clients: int = 8
    method: str = "GET"
    body: int = 0
    """Bytes of a request body."""
    new_connection: bool = False
    """Whether each request has a connection of its own."""

    def described(self) -> str:
        body = f", {self.body} bytes each" if self.body else ""
        fresh = ", a connection for each" if self.new_connection else ""
        return f"{self.requests} {self.method} by {self.clients}{body}{fresh}"


class Client:
    """One client with one connection at a time."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.closing: list[asyncio.StreamWriter] = []

    async def request(self, method: str, body: int = 0) -> Outcome:
        target = f"/r/{next(_NUMBERS)}"
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._request(method, target, body)
        except TimeoutError:
            self.drop()
            return Outcome("hung")
        except ConnectionRefusedError:
            self.drop()
            return Outcome("refused")
        except (ConnectionError, asyncio.IncompleteReadError):
            self.drop()
            return Outcome("cut")

    async def _request(self, method: str, target: str, body: int) -> Outcome:
        if self.writer is None or self.writer.is_closing():
            await self.connect()
        assert self.writer is not None
        length = f"Content-Length: {body}\r\n" if body else ""
        self.writer.write(f"{method} {target} HTTP/1.1\r\nHost: x\r\n{length}\r\n".encode() + b"b" * body)
        await self.writer.drain()
        return await self.response(method, target)

    async def connect(self) -> None:
        if isinstance(self.address, str):
            self.reader, self.writer = await asyncio.open_unix_connection(self.address.removeprefix("unix:"))
        else:
            self.reader, self.writer = await asyncio.open_connection(*self.address)

    async def response(self, method: str, target: str) -> Outcome:
        """Read one whole response. Raises IncompleteReadError if it is cut."""
        assert self.reader is not None
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        while head[9] == "1":
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(re.findall(r"^([\w-]+): *(.*?)\r$", head.lower(), re.MULTILINE))
        if fields.get("transfer-encoding") == "chunked":
            await self._chunks()
        elif method != "HEAD":
            await self.reader.readexactly(int(fields["content-length"]))
        if fields.get("connection") == "close":
            self.drop()
        reason = re.search(r'details="([\w.]+)"', fields.get("proxy-status", ""))
        if reason is None and fields.get("x-target") != target:
            return Outcome("foreign")
        return Outcome(head[9:12], reason[1] if reason is not None else "")

    async def _chunks(self) -> None:
        assert self.reader is not None
        size = -1
        while size:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            await self.reader.readexactly(size + 2)

    def drop(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.closing.append(self.writer)
        self.reader = self.writer = None

    def reset(self) -> None:
        """Leave without a word."""
        if self.writer is not None and not self.writer.is_closing():  # else the proxy was faster
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.writer.transport.abort()
        self.drop()

    async def closed(self) -> None:
        """Until nothing is left of what was dropped."""
        waits = [writer.wait_closed() for writer in self.closing]
        self.closing = []
        await asyncio.gather(*waits, return_exceptions=True)


class Results:
    """All outcomes so far. `on_count` is told how many there are, after each; no request begins while `go` is clear."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.on_count: Callable[[int], None] = lambda _: None
        self.go = asyncio.Event()
        self.go.set()

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self.on_count(len(self.outcomes))

    @property
    def kinds(self) -> Counter[str]:
        return Counter(outcome.kind for outcome in self.outcomes)

    @property
    def reasons(self) -> Counter[str]:
        return Counter(outcome.reason for outcome in self.outcomes if outcome.reason)

    def succeeded(self) -> int:
        return self.kinds["200"]

    def failures(self) -> int:
        return len(self.outcomes) - self.succeeded()

    def told(self) -> str:
        kinds = ", ".join(f"{count} x {kind}" for kind, count in self.kinds.most_common())
        return kinds or "nothing"


async def run_load(address: Address, load: Load, results: Results) -> None:
    """Have the clients make all their requests."""
    left = iter(range(load.requests))

    async def one() -> None:
        client = Client(address)
        for _ in left:
            await results.go.wait()
            results.add(await client.request(load.method, load.body))
            if load.new_connection:
                client.drop()
        client.drop()

    await asyncio.gather(*(one() for _ in range(load.clients)))
