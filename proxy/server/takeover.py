"""Handing the listening sockets over to another process: for an upgrade, and after a supervisor has died.

Law of this file: a process gives its sockets to any process of this user that connects, and leaves when that one
serves. The sockets themselves are never closed in between, so no connection is refused or lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import BindError
from .channel import Channel
from .sockets import Offered

log = logging.getLogger("qantara")

PATIENCE = 10.0
"""Seconds that the other side has to answer."""


class Ask(NamedTuple):
    """Give me your sockets."""


class Leave(NamedTuple):
    """Finish what you have, and go."""

    taken_over: bool = True
    """Whether another process serves the sockets now."""


class Given(NamedTuple):
    """The giver; the sockets of one listener come with it. The last one has `bind` ""."""

    role: str
    pid: int
    bind: str
    lent: bool = False


class Handover:
    """The giving side: listens at `path`."""

    def __init__(
        self,
        path: Path,
        role: str,
        sockets: Callable[[], Mapping[str, Sequence[socket.socket]]],
        lent: Callable[[], Collection[str]],
        leave: Callable[[bool], object],
    ) -> None:
        self.path = path
        self.role = role
        self.sockets = sockets
        self.lent = lent
        self.leave = leave
        self.channels: set[Channel] = set()
        self.closed = False
        path.unlink(missing_ok=True)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bind(str(path))
        os.chmod(path, 0o600)
        self.sock.listen(4)
        self.sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self.sock, self._accept)

    def _accept(self) -> None:
        try:
            accepted, _ = self.sock.accept()
        except OSError:
            return
        channel = Channel(accepted, lambda message, _: self._on_message(channel, message), lambda: self._gone(channel))
        self.channels.add(channel)

    def _gone(self, channel: Channel) -> None:
        self.channels.discard(channel)

    def _on_message(self, channel: Channel, message: object) -> None:
        if isinstance(message, Ask):
            for bind, sockets in self.sockets().items():
                given = Given(self.role, os.getpid(), bind, bind in self.lent())
                channel.send(given, [sock.fileno() for sock in sockets])
            channel.send(Given(self.role, os.getpid(), ""))
        elif isinstance(message, Leave):
            log.info("another process has taken over" if message.taken_over else "told to stop")
            self.close()  # from now on a successor finds the sockets there
            self.leave(message.taken_over)

    def close(self) -> None:
        """Give nothing any more."""
        if self.closed:
            return
        self.closed = True
        asyncio.get_running_loop().remove_reader(self.sock)
        self.sock.close()
        self.path.unlink(missing_ok=True)
        for channel in list(self.channels):
            channel.close()


class Predecessor:
    """The taking side: a process that has sockets for us."""

    def __init__(self, path: Path) -> None:
        self.role = ""
        self.pid = 0
        self.sockets: list[Offered] = []
        self.complete = asyncio.get_running_loop().create_future()
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(path))
        except BaseException:
            sock.close()
            raise
        self.channel = Channel(sock, self._on_message, self._gone)

    async def ask(self) -> None:
        """Get its sockets; none if it is just going away. Raises BindError if it does not answer."""
        self.channel.send(Ask())
        try:
            await asyncio.wait_for(self.complete, PATIENCE)
        except TimeoutError:
            raise BindError("the process that serves already does not hand over its sockets") from None

    def leave(self, taken_over: bool = True) -> None:
        """Have it drain and end."""
        self.channel.send(Leave(taken_over))

    def _on_message(self, message: Given, fds: list[int]) -> None:
        self.role, self.pid = message.role, message.pid
        self.sockets += [Offered(socket.socket(fileno=fd), message.lent) for fd in fds]
        if not message.bind and not self.complete.done():
            self.complete.set_result(None)

    def _gone(self) -> None:
        if not self.complete.done():
            self.complete.set_result(None)


def find(paths: list[tuple[int, Path]]) -> list[Predecessor]:
    """The processes that can be asked; what dead ones have left behind is removed."""
    found = []
    for pid, path in paths:
        try:
            found.append(Predecessor(path))
        except (ConnectionRefusedError, FileNotFoundError):
            log.info("removing %s, which process %d has left behind", path, pid)
            path.unlink(missing_ok=True)
    return found
