"""An origin server that does exactly what a script says, byte by byte, and records what it receives.

    async with Origin([request(), b"HTTP/1.1 204 No Content\\r\\n\\r\\n"]) as origin:
        ...
    assert origin.requests[0].target == b"/"

A script is a list of steps for one connection: bytes are sent as they stand, anything else is a step from
this file. The n-th connection follows the n-th script, further ones the last. Invariant: a script that goes
wrong (an expectation fails, the peer sends nonsense) fails the test when the origin is closed.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

import h11

Step: TypeAlias = "bytes | Callable[[Peer], Awaitable[None]]"
Script: TypeAlias = Sequence[Step]


@dataclass(slots=True)
class Request:
    """One request as h11 reads it; header names in lower case, in the order of arrival."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    http_version: bytes
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that may be there once; a second one fails."""
        values = self.all(name)
        assert len(values) <= 1, f"{name!r} came {len(values)} times: {values}"
        return values[0] if values else None


class Peer:
    """One accepted connection: what it sent, and the streams to answer on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        """Every byte that came in."""
        self.requests: list[Request] = []
        self.closed_by_peer = asyncio.Event()
        self.incomplete = False
        """True if the peer closed in the middle of a request."""
        self._unread = b""

    async def read(self) -> bytes:
        """Some bytes, or b"" at the end of input."""
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        data = await self.reader.read(65536)
        self.received += data
        if not data:
            self.closed_by_peer.set()
        return data

    def push_back(self, data: bytes) -> None:
        self._unread = data + self._unread

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


# --- steps -------------------------------------------------------------------------------------------


def request(answer_continue: bool = False) -> Step:
    """Read one whole request with h11 and record it. With `answer_continue`, send 100 if it asks."""

    async def step(peer: Peer) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        current: Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if answer_continue and connection.they_are_waiting_for_100_continue:
                    answer = h11.InformationalResponse(status_code=100, headers=[])
                    await peer.send(connection.send(answer) or b"")
                data = await peer.read()
                if not data:
                    peer.incomplete = current is not None or bool(connection.trailing_data[0])
                    raise EndOfScript
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                current = Request(event.method, event.target, list(event.headers), event.http_version)
                peer.requests.append(current)
            elif isinstance(event, h11.Data):
                assert current is not None
                current.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert current is not None
                current.trailers = list(event.headers)
                peer.push_back(connection.trailing_data[0])
                return

    return step


def until(marker: bytes) -> Step:
    """Read until the marker has come; what follows it stays unread."""

    async def step(peer: Peer) -> None:
        seen = b""
        while marker not in seen:
            data = await peer.read()
            assert data, f"end of input before {marker!r}: {seen!r}"
            seen += data
        end = seen.index(marker) + len(marker)
        peer.push_back(seen[end:])

    return step


def expect(literal: bytes) -> Step:
    """Read exactly these bytes."""

    async def step(peer: Peer) -> None:
        seen = b""
        while len(seen) < len(literal):
            data = await peer.read()
            assert data, f"end of input after {seen!r}, expected {literal!r}"
            seen += data
        peer.push_back(seen[len(literal) :])
        assert seen[: len(literal)] == literal

    return step


def wait(event: asyncio.Event) -> Step:
    """Go on when the test says so."""

    async def step(_: Peer) -> None:
        await event.wait()

    return step


def tell(event: asyncio.Event) -> Step:
    """Let the test know that the script came this far."""

    async def step(_: Peer) -> None:
        event.set()

    return step


def byte_by_byte(data: bytes) -> Step:
    """Send each byte in a segment of its own, as far as the kernel lets us."""

    async def step(peer: Peer) -> None:
        for index in range(len(data)):
            await peer.send(data[index : index + 1])
            await asyncio.sleep(0)

    return step


async def end_of_input(peer: Peer) -> None:
    """Wait until the proxy closes its side."""
    while await peer.read():
        pass


async def never(peer: Peer) -> None:
    """Neither answer nor close, until the proxy gives up."""
    await end_of_input(peer)


async def half_close(peer: Peer) -> None:
    peer.writer.write_eof()


async def close(peer: Peer) -> None:
    peer.writer.close()


async def reset(peer: Peer) -> None:
    """Close with a TCP reset."""
    reset_on_close(peer.writer)
    peer.writer.close()


def reset_on_close(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class EndOfScript(Exception):
    """The peer closed while a request was being read: not an error by itself, see `Peer.incomplete`."""


# --- the server --------------------------------------------------------------------------------------


class Origin:
    """On a free port of 127.0.0.1, or on `path`; `forever` repeats each script until the peer closes."""

    def __init__(self, *scripts: Script, forever: bool = False, path: str | None = None) -> None:
        self.scripts = scripts
        self.forever = forever
        self.path = path
        self.peers: list[Peer] = []
        self.failures: list[BaseException] = []
        self.address = ""
        """As the configuration writes it: "127.0.0.1:PORT" or "unix:/path"."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def requests(self) -> list[Request]:
        """All requests of all connections, connection by connection."""
        return [request for peer in self.peers for request in peer.requests]

    async def __aenter__(self) -> Self:
        if self.path is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
            self.address = "{}:{}".format(*self._server.sockets[0].getsockname())
        else:
            self._server = await asyncio.start_unix_server(self._accept, self.path)
            self.address = f"unix:{self.path}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if self.failures and kind is None:
            raise self.failures[0]

    async def stop(self) -> None:
        """Stop listening and drop every connection; the address refuses from then on."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.close()
        await asyncio.gather(*(peer.writer.wait_closed() for peer in self.peers), return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        script = self.scripts[min(len(self.peers), len(self.scripts) - 1)] if self.scripts else [never]
        self.peers.append(peer)
        try:
            await self._follow(script, peer)
        except (EndOfScript, ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            self.failures.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _follow(self, script: Script, peer: Peer) -> None:
        rounds: Iterable[Script] = itertools.repeat(script) if self.forever else (script,)
        for step in itertools.chain.from_iterable(rounds):
            if isinstance(step, bytes):
                await peer.send(step)
            else:
                await step(peer)
            if peer.writer.is_closing():
                return


def response(body: bytes = b"", status: bytes = b"200 OK", headers: Iterable[bytes] = ()) -> bytes:
    """A response with a length; `headers` are whole lines without their line end."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


async def origins(stack: AsyncExitStack, scripts: Iterable[Script]) -> list[Origin]:
    """An origin for each script, which it repeats, until the stack is left."""
    return [await stack.enter_async_context(Origin(script, forever=True)) for script in scripts]
