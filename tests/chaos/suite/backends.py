"""App servers that do wrong in every way.

Law of this file: how a server answers is a function that can be changed while it serves. An answer tells which request
it is for, so that a client can see if it got somebody else's. Killed, a server refuses connections at its address,
which stays its own until it is started again.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import Any

RESET = struct.pack("ii", 1, 0)


class Asked:
    """One request: its target is what an answer repeats."""

    def __init__(self, method: bytes, target: bytes, head: bytes, body: bytes) -> None:
        self.method = method
        self.target = target
        self.head = head
        self.body = body


class Conn(asyncio.Protocol):
    """One connection of a server: reads requests one after another, and lets the server's behaviour answer."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.data = b""
        self.echoes = False
        """Whether it is a tunnel by now."""
        self.transport: Any = None
        self.timers: list[asyncio.TimerHandle] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.server.conns.add(self)
        self.server.accepted += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.conns.discard(self)
        for timer in self.timers:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self.echoes:
            self.send(data)
            return
        self.data += data
        while (asked := self._next()) is not None:
            self.server.requests += 1
            self.server.behaviour(self, asked)

    def _next(self) -> Asked | None:
        head, found, rest = self.data.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.lower().split(b"\r\n")[1:]:
            if line.startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length and not self.server.hasty:
            return None
        self.data = rest[length:]
        method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
        return Asked(method, target, head, rest[:length])

    # --- what a behaviour does ---

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def later(self, seconds: float, do: Callable[[], Any]) -> None:
        self.timers.append(asyncio.get_running_loop().call_later(seconds, do))

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


Behaviour = Callable[[Conn, Asked], None]


class Server:
    """An app server on a port of 127.0.0.1 that is its own from the start."""

    def __init__(self) -> None:
        self.behaviour: Behaviour = ok
        self.hasty = False
        """Whether it answers before it has the whole body."""
        self.conns: set[Conn] = set()
        self.accepted = 0
        self.requests = 0
        self.held = socket.socket()
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.held.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        self.port = int(self.held.getsockname()[1])
        self.listening: asyncio.Server | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self.listening = await loop.create_server(
            lambda: Conn(self), "127.0.0.1", self.port, reuse_address=True, reuse_port=True, backlog=512
        )

    async def kill(self) -> None:
        """As SIGKILL: connections are reset, new ones refused."""
        if self.listening is not None:
            self.listening.close()
            self.listening = None
        for conn in list(self.conns):
            conn.reset()
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self.kill()
        self.held.close()


# --- behaviours ----------------------------------------------------------------------------------------


def answer(asked: Asked, status: bytes = b"200 OK", more: bytes = b"", body: bytes | None = None) -> bytes:
    text = asked.target if body is None else body
    head = b"HTTP/1.1 %b\r\nX-Target: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, asked.target, more, len(text)) + (b"" if asked.method == b"HEAD" else text)


def ok(conn: Conn, asked: Asked) -> None:
    conn.send(answer(asked))


def status(code: bytes) -> Behaviour:
    return lambda conn, asked: conn.send(answer(asked, code))


def slow(seconds: float) -> Behaviour:
    return lambda conn, asked: conn.later(seconds, lambda: conn.send(answer(asked)))


def hang(conn: Conn, asked: Asked) -> None:
    """Takes everything, answers nothing."""


def close(conn: Conn, asked: Asked) -> None:
    conn.close()


def reset(conn: Conn, asked: Asked) -> None:
    conn.reset()


def large(size: int) -> Behaviour:
    return lambda conn, asked: conn.send(answer(asked, body=b"x" * size))


def chunked(conn: Conn, asked: Asked) -> None:
    pieces = b"%x\r\n%b\r\n" % (len(asked.target), asked.target)
    conn.send(b"HTTP/1.1 200 OK\r\nX-Target: %b\r\nTransfer-Encoding: chunked\r\n\r\n" % asked.target + pieces)
    conn.later(0.0, lambda: conn.send(b"0\r\n\r\n"))


def truncated(conn: Conn, asked: Asked) -> None:
    conn.send(answer(asked, body=b"x" * 100)[:-50])
    conn.close()


def truncated_chunks(conn: Conn, asked: Asked) -> None:
    conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    conn.close()


def stalls(conn: Conn, asked: Asked) -> None:
    conn.send(answer(asked, body=b"x" * 100)[:-50])


def drips(conn: Conn, asked: Asked) -> None:
    """A head that takes for ever, a byte at a time."""
    conn.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")

    def more() -> None:
        conn.send(b"x")
        conn.later(0.02, more)

    more()


def literally(data: bytes) -> Behaviour:
    return lambda conn, asked: conn.send(data)


garbage = literally(b"\x00\xff\x16\x03 this is not HTTP\r\n\r\n")
two_lengths = literally(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
length_and_chunks = literally(
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)
huge_head = literally(b"HTTP/1.1 200 OK\r\n" + b"X-A: %b\r\n" % (b"a" * 1000) * 100 + b"\r\n")
unasked_upgrade = literally(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
endless_interim = literally(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def smuggles(conn: Conn, asked: Asked) -> None:
    """A second response behind the first, which nobody has asked for."""
    conn.send(answer(asked) + b"HTTP/1.1 200 OK\r\nX-Target: /stolen\r\nContent-Length: 6\r\n\r\nstolen")


def forgets(conn: Conn, asked: Asked) -> None:
    """Closes its idle connection right behind each answer, without having announced it."""
    conn.send(answer(asked))
    conn.later(0.001, conn.close)


def closes_behind(conn: Conn, asked: Asked) -> None:
    """Closes right behind its answer, without having announced it: nobody can have sent a request in between."""
    conn.send(answer(asked))
    with socket.socket(fileno=os.dup(conn.transport.get_extra_info("socket").fileno())) as sock:
        sock.shutdown(socket.SHUT_WR)
    conn.close()


def alternates(first: Behaviour, second: Behaviour) -> Behaviour:
    """One answer of the one kind, one of the other."""

    def behave(conn: Conn, asked: Asked) -> None:
        (first if conn.server.requests % 2 else second)(conn, asked)

    return behave


def echoes_tunnel(conn: Conn, asked: Asked) -> None:
    """Switches to a WebSocket, as far as a proxy can tell, and sends back what comes."""
    conn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    conn.echoes = True
