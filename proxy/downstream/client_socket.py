"""The socket of a client connection: pacing what is read and written, and closing it without losing the last response.

Law of this file: bytes and states, no requests. Flow control goes both ways: reading is paused while the request body
has no receiver, and a full write buffer pauses the source of the response.
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
"""The states of a connection: waiting for a head, reading a body, waiting for the response, tunnelling, lingering
(reading after the last response, so that no reset overtakes it), flushing, closed."""

LINGER_SECONDS = 2.0
"""The longest lingering after the last response. It is bounded by time only: a bound on bytes would reset the
connection, and lose the part of the response that the client has not read."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing then resets the connection (socket(7))."""
WRITE_HIGH = 262144
"""The write buffer, in bytes, at which the source of the response is paused."""


class ClientSocket(ClientStream):
    """The transport of a client connection, and its states."""

    def __init__(self, counters: Counters, log: Any) -> None:
        super().__init__(Peer(), counters, log)
        self.listener = ""
        """The `bind` of its listener."""
        self.transport: Any = None
        self.write: Any = None
        """The transport's method, looked up once."""
        self.state = READY
        self.eof = False
        self.read_paused = False
        self.waited_for = 0
        """Unsent bytes at the last check of progress."""

    def take_transport(self, transport: Any) -> None:
        """Set the transport, the address of the peer and the limits of the write buffer."""
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
        """Close without losing the response: with `unread` bytes, shut down the sending side first and linger.

        Closing a socket with unread bytes makes the kernel reset it, and the reset may overtake the response
        (RFC 9112 9.6). Bytes that are not flushed after `flush_seconds` are lost.
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
        """Shut down the sending side. TLS has no half-close: there written bytes are only flushed."""
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def unsent(self) -> int:
        """Unacknowledged bytes: in the transport's buffer, and in the kernel's (tcp(7), SIOCOUTQ)."""
        waiting: int = self.transport.get_write_buffer_size()
        try:
            fd = self.transport.get_extra_info("socket").fileno()
            return waiting + int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        except OSError:
            return waiting

    def takes(self) -> bool:
        """Whether the client has acknowledged bytes since the last check."""
        before, self.waited_for = self.waited_for, self.unsent()
        return self.waited_for < before

    def cut(self, reset: bool) -> None:
        """Close at once; with a reset where an orderly close would look like the end of the body."""
        if self.state != CLOSED:
            self.state = CLOSING
            if reset and not self.transport.is_closing():
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()
