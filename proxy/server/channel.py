"""Messages between the supervisor and its workers, with open sockets in the post.

Law of this file: one Unix stream socket, frames of a length, a count of file descriptors and a pickled object. Pickle
is safe here because only the two processes that share the pair can write to it; nothing that a client or an operator
sends is ever unpickled. Sending never blocks: what the peer does not take yet waits here.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

HEADER = struct.Struct("!IB")
MOST_FDS = 250
"""File descriptors in one message; the kernel takes 253 (unix(7), SCM_MAX_FD)."""
READ_SIZE = 262_144


class Channel:
    """One end. `on_message(message, fds)` and, when the peer is gone, `on_close()` are called in the loop."""

    def __init__(
        self, sock: socket.socket, on_message: Callable[[Any, list[int]], object], on_close: Callable[[], object]
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.on_message = on_message
        self.on_close = on_close
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[tuple[memoryview, Sequence[int]]] = deque()
        self._received = bytearray()
        self._fds: deque[int] = deque()
        self._loop.add_reader(sock, self._read)

    def send(self, message: Any, fds: Sequence[int] = ()) -> None:
        """Send an object and copies of open files. The caller keeps its own; they must stay open until `flushed`."""
        assert len(fds) <= MOST_FDS
        if self.closed:
            return
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._unsent.append((memoryview(HEADER.pack(len(body), len(fds)) + body), fds))
        if len(self._unsent) == 1:
            self._write()

    def _write(self) -> None:
        while self._unsent:
            data, fds = self._unsent[0]
            try:
                sent = socket.send_fds(self.sock, [data], list(fds)) if fds else self.sock.send(data)
            except BlockingIOError:
                self._loop.add_writer(self.sock, self._write)
                return
            except OSError:
                self._end()
                return
            if sent == len(data):
                self._unsent.popleft()
            else:
                self._unsent[0] = (data[sent:], ())
        self._loop.remove_writer(self.sock)

    def _read(self) -> None:
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, READ_SIZE, MOST_FDS + 3)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        self._fds.extend(fds)
        if not data:
            self._end()
            return
        self._received += data
        while not self.closed and len(self._received) >= HEADER.size:
            length, count = HEADER.unpack_from(self._received)
            end = HEADER.size + length
            if len(self._received) < end:
                return
            message = pickle.loads(bytes(self._received[HEADER.size : end]))
            del self._received[:end]
            self.on_message(message, [self._fds.popleft() for _ in range(count)])

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self.on_close()

    def close(self) -> None:
        """Close this end; the peer sees it."""
        if not self.closed:
            self.closed = True
            self._loop.remove_reader(self.sock)
            self._loop.remove_writer(self.sock)
            self.sock.close()
