"""Notifications to systemd and sockets from it (sd_notify(3), sd_listen_fds(3)).

Law of this file: without systemd nothing happens here, and a notification that fails is never an error.
"""

from __future__ import annotations

import os
import socket
from time import monotonic_ns

from ..errors import BindError

FIRST_FD = 3


def notify(*lines: str) -> None:
    """Notify the service manager, if there is one: "READY=1", "STATUS=..."."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto("\n".join(lines).encode(), address)
    except OSError:
        pass


def reloading() -> None:
    """A reload begins (Type=notify-reload needs the time)."""
    notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")


def watchdog_seconds() -> float | None:
    """Half of WatchdogSec (seconds): the interval of notifications; None without a watchdog."""
    wanted = os.environ.get("WATCHDOG_USEC", "")
    pid = os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdigit() or (pid and pid != str(os.getpid())):
        return None
    return int(wanted) / 1e6 / 2


def inherited_sockets() -> list[socket.socket]:
    """Listening sockets that the service manager has opened for this process; taken once, and not inherited on.

    Raises BindError if one of them is something else.
    """
    pid, count = os.environ.pop("LISTEN_PID", ""), os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    return [_listening(fd) for fd in range(FIRST_FD, FIRST_FD + int(count))]


def _listening(fd: int) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise BindError(f"LISTEN_FDS: file descriptor {fd} is no socket: {error.strerror}") from None
    if not listens or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        sock.close()
        raise BindError(
            f"LISTEN_FDS: file descriptor {fd} is no listening stream socket; use ListenStream= in the socket unit"
        )
    return sock
