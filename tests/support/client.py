"""A client that sends literal bytes and reads responses with h11, which is stricter than most clients.

Invariant: nothing is repaired on the way; what a test sends is what arrives, what h11 refuses fails the test.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11

from . import PATIENCE
from .origin import reset_on_close


@dataclass(slots=True)
class Response:
    """One response; header names in lower case, in the order of arrival."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    http_version: bytes
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    interim: list[Response] = field(default_factory=list)
    """The 1xx responses before it."""

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]

    def header(self, name: bytes) -> bytes | None:
        """The value of a header that may be there once; a second one fails."""
        values = self.all(name)
        assert len(values) <= 1, f"{name!r} came {len(values)} times: {values}"
        return values[0] if values else None


class RawClient:
    """One connection. Reads raise TimeoutError after `patience` seconds: a hang names its place."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float) -> None:
        self.reader = reader
        self.writer = writer
        self.patience = patience
        self._unread = b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_byte_by_byte(self, data: bytes) -> None:
        """Each byte in a segment of its own, as far as the kernel lets us (TCP_NODELAY is set)."""
        for index in range(len(data)):
            await self.send(data[index : index + 1])
            await asyncio.sleep(0)

    async def response(self, method: bytes = b"GET", upgrade: bytes | None = None) -> Response:
        """The next whole response to a request with this method, which asked for the protocol `upgrade`."""
        async with asyncio.timeout(self.patience):
            return await self._response(method, upgrade)

    async def _response(self, method: bytes, upgrade: bytes | None) -> Response:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        headers = [(b"host", b"x")]
        if upgrade is not None:
            headers += [(b"connection", b"upgrade"), (b"upgrade", upgrade)]
        connection.send(h11.Request(method=method, target="/", headers=headers))
        connection.send(h11.EndOfMessage())
        interim: list[Response] = []
        current: Response | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await self._some())
            elif isinstance(event, h11.InformationalResponse):
                interim.append(_head(event))
                if event.status_code == 101:
                    self._unread = connection.trailing_data[0]
                    return interim[-1]
            elif isinstance(event, h11.Response):
                current = _head(event)
                current.interim = interim
            elif isinstance(event, h11.Data):
                assert current is not None
                current.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                assert current is not None
                current.trailers = list(event.headers)
                self._unread = connection.trailing_data[0]
                return current
            else:
                raise AssertionError(f"no response: {event!r}")

    async def request(self, data: bytes, method: bytes = b"GET") -> Response:
        """Send one request and read its response."""
        await self.send(data)
        return await self.response(method)

    async def _some(self) -> bytes:
        if self._unread:
            data, self._unread = self._unread, b""
            return data
        return await self.reader.read(65536)

    async def read(self) -> bytes:
        """Some bytes as they came, or b"" at the end of input."""
        async with asyncio.timeout(self.patience):
            return await self._some()

    async def read_exactly(self, count: int) -> bytes:
        async with asyncio.timeout(self.patience):
            data = b""
            while len(data) < count:
                some = await self._some()
                assert some, f"end of input after {data!r}"
                data += some
        self._unread = data[count:]
        return data[:count]

    async def read_until(self, marker: bytes) -> bytes:
        """Everything up to and with the marker; what follows stays unread."""
        async with asyncio.timeout(self.patience):
            data = b""
            while marker not in data:
                some = await self._some()
                assert some, f"end of input after {data!r}"
                data += some
        end = data.index(marker) + len(marker)
        self._unread = data[end:]
        return data[:end]

    async def read_to_end(self) -> bytes:
        """Everything until the proxy closes."""
        async with asyncio.timeout(self.patience):
            data = b""
            while some := await self._some():
                data += some
            return data

    async def closed(self) -> bool:
        """True once the proxy has closed, by FIN or reset, with nothing unread before it."""
        try:
            return await self.read() == b""
        except ConnectionError:
            return True

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Close with a TCP reset, as a client that disappears."""
        reset_on_close(self.writer)
        self.writer.transport.abort()


def _head(event: h11.Response | h11.InformationalResponse) -> Response:
    return Response(event.status_code, event.reason, list(event.headers), event.http_version)


@asynccontextmanager
async def connect(
    address: tuple[str, int] | str, *, patience: float = PATIENCE, receive_buffer: int | None = None
) -> AsyncIterator[RawClient]:
    """A connection to (host, port) or a Unix socket; a small `receive_buffer` (bytes) makes a slow reader."""
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address.removeprefix("unix:"))
    else:
        reader, writer = await _open_tcp(address, receive_buffer)
    try:
        yield RawClient(reader, writer, patience)
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except (ConnectionError, BrokenPipeError):
            pass


async def _open_tcp(
    address: tuple[str, int], receive_buffer: int | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The receive buffer has to be set before the connection is made, or the window is already offered."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return await asyncio.open_connection(sock=sock, limit=receive_buffer or 65536)
    except BaseException:
        sock.close()
        raise
