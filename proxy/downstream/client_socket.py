"""The socket of a client connection: pacing what is read and written, and closing it without losing the last response.

Law of this file: bytes and states, no requests. A connection that stops reading makes its client wait; one that cannot
write says so, and whoever feeds it waits.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import sys
import termios
from typing import Any

from ..exchange import ClientStream
from ..http.forwarded import peer_address
from ..http.peer import Peer
from ..metrics import Counters

READY, BODY, BUSY, TUNNEL, LINGER, CLOSING, CLOSED = range(7)
"""A connection waits for a head, reads a body, waits for its response, hands on plain bytes, reads on after its last
response so that the client gets it, flushes, or is gone."""

LINGER_SECONDS = 2.0
"""How long is read on after the last response. Time alone bounds it: to stop at some size would reset the connection
and lose what the client has not read yet."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing then resets the connection (socket(7))."""
WRITE_HIGH = 262144
"""Bytes that wait for a slow client before the backend is throttled."""


class ClientSocket(ClientStream):
    """The transport of a client connection, and what may be done with it in which state."""

    def __init__(self, counters: Counters, log: Any) -> None:
        super().__init__(Peer(), counters, log)
        self.listener = ""
        """The `bind` of the listener that it came through."""
        self.transport: Any = None
        self.write: Any = None
        """The transport's method, looked up once."""
        self.state = READY
        self.eof = False
        self.write_paused = False
        self.read_paused = False
        self.waited_for = 0
        """Bytes that were unsent when the client's progress was last looked at."""

    def take_transport(self, transport: Any) -> None:
        """The connection is there: who is it, and how much may wait for it."""
        self.transport = transport
        self.write = transport.write
        peer = transport.get_extra_info("peername")
        self.peer.address = peer_address(str(peer[0])) if isinstance(peer, tuple) else "unix"
        transport.set_write_buffer_limits(WRITE_HIGH)

    def send(self, data: Any) -> None:
        """Write bytes."""
        try:
            self.write(data)
        except RuntimeError:  # closed this moment by an error of the socket; connection_lost follows
            if not self.transport.is_closing():
                raise

    def send_pair(self, head: bytes, body: Any) -> None:
        """Write a head and body bytes with one system call."""
        if not self.transport.is_closing():
            self.transport.writelines((head, body))

    def stop_reading(self) -> None:
        if not self.read_paused and not self.eof and self.state != CLOSED:
            self.read_paused = True
            self.transport.pause_reading()

    def start_reading(self) -> None:
        if self.read_paused and self.state != CLOSED:
            self.read_paused = False
            if not self.eof and not self.transport.is_closing():
                self.transport.resume_reading()

    def close(self, now: float, flush_seconds: float, unread: bool) -> None:
        """Close so that the client gets everything: if there is something `unread`, end our side first and read on.

        Closing a socket with unread bytes makes the kernel reset it, and the reset may overtake the response
        (RFC 9112 9.6). What is not flushed after `flush_seconds` is lost.
        """
        self.deadline = now + LINGER_SECONDS
        if self.transport.get_write_buffer_size():
            self.waited_for = self.unsent()
            self.deadline = now + flush_seconds
        if unread and not self.eof and not self.transport.is_closing():
            self.state = LINGER
            self.start_reading()
            self.end_output()
        else:
            self.state = CLOSING
            self.transport.close()

    def end_output(self) -> None:
        """End this side of the connection. Over TLS, where one side cannot end alone, what was written is flushed."""
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def unsent(self) -> int:
        """Bytes that the client has not taken yet: in our buffer, and in the kernel's (tcp(7), SIOCOUTQ)."""
        waiting: int = self.transport.get_write_buffer_size()
        try:
            fd = self.transport.get_extra_info("socket").fileno()
            return waiting + int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return waiting

    def takes(self) -> bool:
        """Whether the client has taken anything since the last look. Slow is allowed, standing still is not."""
        before, self.waited_for = self.waited_for, self.unsent()
        return self.waited_for < before

    def cut(self, reset: bool) -> None:
        """Close at once; with a reset where an ordinary end would pass for that of the body."""
        if self.state != CLOSED:
            self.state = CLOSING
            if reset and not self.transport.is_closing():
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()
