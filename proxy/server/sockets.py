"""The listening sockets of all workers, kept by the supervisor.

Law of this file: a socket is never closed while its listener is configured. TCP listeners have one socket for each
worker (SO_REUSEPORT), so that workers do not contend for one accept queue; the queue of a worker that dies waits here
for the one that takes its place. If there are fewer workers than sockets, some serve two. A Unix socket is shared by
all; its file is removed with it, unless a service manager has lent it: then it is there for the next start.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..downstream.listener import address_of, open_listener, probe, written
from ..plan import ListenerSpec


class Offered(NamedTuple):
    """A listening socket from outside; `lent` by a service manager, or handed over by a predecessor."""

    sock: socket.socket
    lent: bool


class ListenerSockets:
    """Sockets by the `bind` of their listener."""

    def __init__(self) -> None:
        self.binds: dict[str, list[socket.socket]] = {}
        self.specs: dict[str, ListenerSpec] = {}
        self.lent: set[str] = set()
        """The binds of those that a service manager has opened, and will lend again."""
        self.offered: list[Offered] = []
        """Sockets from a predecessor or a service manager that no listener has taken yet."""

    def open(self, specs: Iterable[ListenerSpec], workers: int) -> list[socket.socket]:
        """Open the sockets of `specs` for `workers` workers. Returns the new ones.

        Raises BindError, and has then opened nothing.
        """
        opened: list[tuple[str, socket.socket]] = []
        try:
            for spec in specs:
                have = self.binds.get(spec.bind) or self._adopt(spec)
                wanted = workers if not spec.path and all(map(shareable, have)) else 1
                if not have:
                    probe(spec)
                for _ in range(wanted - len(have)):
                    known = have[0] if have else next((sock for bind, sock in opened if bind == spec.bind), None)
                    port = address_of(known)[1] if known is not None and not spec.path else spec.port
                    sock = open_listener(spec._replace(port=int(port)), shared=not spec.path)
                    opened.append((spec.bind, sock))
        except BaseException:
            self._unlink(opened)
            raise
        for bind, sock in opened:
            self.binds.setdefault(bind, []).append(sock)
        self.specs.update({spec.bind: spec for spec in specs})
        return [sock for _, sock in opened]

    def _adopt(self, spec: ListenerSpec) -> list[socket.socket]:
        """Offered sockets with the address of this listener."""
        found = [offered for offered in self.offered if serves(offered.sock, spec)]
        if not found:
            return []
        if any(offered.lent for offered in found):
            self.lent.add(spec.bind)
        self.offered = [offered for offered in self.offered if offered not in found]
        self.binds[spec.bind] = [offered.sock for offered in found]
        return self.binds[spec.bind]

    def let_go(self) -> list[str]:
        """Close the offered sockets of a predecessor that no listener has taken. Returns the addresses of those that a
        service manager keeps open; a later listener may take them."""
        for offered in self.offered:
            if not offered.lent:
                offered.sock.close()
        self.offered = [offered for offered in self.offered if offered.lent]
        return [written(address_of(offered.sock)) for offered in self.offered]

    def give_back(self, opened: Sequence[socket.socket]) -> None:
        """Close what was opened in vain."""
        for bind, sockets in list(self.binds.items()):
            gone = [sock for sock in sockets if sock in opened]
            self._unlink([(bind, sock) for sock in gone])
            self.binds[bind] = [sock for sock in sockets if sock not in opened]
            if not self.binds[bind]:
                del self.binds[bind]

    def _unlink(self, opened: Iterable[tuple[str, socket.socket]]) -> None:
        for _, sock in opened:
            if sock.family == socket.AF_UNIX:
                with contextlib.suppress(FileNotFoundError):  # another process was faster
                    os.unlink(sock.getsockname())
            sock.close()

    def share(self, bind: str, index: int, workers: int) -> list[socket.socket]:
        """The sockets of a listener that worker `index` of `workers` serves."""
        sockets = self.binds[bind]
        return sockets[index::workers] or [sockets[index % len(sockets)]]

    def keep_only(self, binds: Iterable[str]) -> None:
        """Close the sockets of listeners that are no more."""
        for bind in self.binds.keys() - set(binds):
            sockets = self.binds.pop(bind)
            if bind in self.lent:
                self.lent.remove(bind)
                self.offered += [Offered(sock, True) for sock in sockets]
            else:
                self._unlink((bind, sock) for sock in sockets)

    def close(self) -> list[str]:
        """Close this process's copies. Returns the files of Unix sockets, to remove unless a successor takes over."""
        files = []
        for bind, sockets in self.binds.items():
            for sock in sockets:
                if sock.family == socket.AF_UNIX and bind not in self.lent:
                    files.append(str(sock.getsockname()))
                sock.close()
        self.binds = {}
        for offered in self.offered:
            offered.sock.close()
        self.offered = []
        return files


def remove_files(files: list[str]) -> None:
    """Remove them once: the list is empty afterwards, since others may listen there from then on."""
    while files:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(files.pop())


def shareable(sock: socket.socket) -> bool:
    """Whether further sockets may listen on the same port."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))


def serves(sock: socket.socket, spec: ListenerSpec) -> bool:
    """Whether an offered socket has the address of a listener."""
    address = address_of(sock)
    if isinstance(address, str):
        return address == spec.path
    host, port = address
    anywhere = host in ("::", "0.0.0.0") and spec.host in ("", "::", "0.0.0.0")
    return not spec.path and port == spec.port and (host == spec.host or anywhere)
