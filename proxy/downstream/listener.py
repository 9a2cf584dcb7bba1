"""Listening sockets: opened before anything else, so that a wrong address is reported at once, in one sentence.

Law of this file: a listener is an address and a socket, independent of connections.
"""

from __future__ import annotations

import errno
import os
import socket
import stat

from ..errors import BindError
from ..plan import ListenerSpec

HINTS = {
    errno.EADDRINUSE: "the address is in use; stop the other process (ss -ltnp shows it) or choose another port",
    errno.EACCES: "not allowed; ports below 1024 need CAP_NET_BIND_SERVICE, Unix sockets a writable folder",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.ENOENT: "the folder does not exist",
}


def open_listener(spec: ListenerSpec, shared: bool = False) -> socket.socket:
    """Open the socket of a listener. An empty host means every address, IPv4 and IPv6 alike. With `shared` other
    sockets of this user may listen on the same TCP port (SO_REUSEPORT), and the kernel spreads connections over them.

    Raises BindError with a sentence that names a remedy.
    """
    try:
        if spec.path:
            return _open_unix(spec.path, spec.backlog)
        if not spec.host:
            return _open_tcp("::" if socket.has_dualstack_ipv6() else "0.0.0.0", spec, shared)
        return _open_tcp(spec.host, spec, shared)
    except (OSError, OverflowError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno is not None else 0
        raise BindError(f"cannot listen on {spec.bind}: {HINTS.get(number, str(error))}") from error


def probe(spec: ListenerSpec) -> None:
    """Raise BindError if the address is in use: with SO_REUSEPORT the kernel would share it silently."""
    if not spec.path and spec.port:
        open_listener(spec).close()


def _open_tcp(host: str, spec: ListenerSpec, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, spec.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if not spec.host else 1)
        sock.bind(address)
        sock.listen(spec.backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _open_unix(path: str, backlog: int) -> socket.socket:
    """A Unix socket. A stale socket file without a listener is replaced; any other file is an error."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_stale(path):
            os.unlink(path)
        sock.bind(path)
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_stale(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
    except OSError:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def written(address: tuple[str, int] | str) -> str:
    """An address in its usual notation."""
    if isinstance(address, str):
        return address
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def address_of(sock: socket.socket) -> tuple[str, int] | str:
    """What a socket is bound to: (host, port), or the path of a Unix socket."""
    name = sock.getsockname()
    return name if isinstance(name, str) else (str(name[0]), int(name[1]))
