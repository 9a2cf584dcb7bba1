"""Real app servers as child processes: uvicorn with Starlette, gunicorn with WSGI, aiohttp's own runner.

The listening socket is opened here, on a free port or a Unix path, and handed over as a file descriptor: no
port can be lost in between, and a request sent at once waits in the backlog until the server accepts. All
serve the app of `apps.py`. Invariant: each child that was started here is ended, by its pid, on exit.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
BACKLOG = 128
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
KINDS = ("uvicorn", "gunicorn", "aiohttp")
TRANSPORTS = ("tcp", "unix")


@dataclass(frozen=True, slots=True)
class AppServer:
    kind: str
    address: str
    """As the configuration writes it: "127.0.0.1:PORT" or "unix:/path"."""
    process: subprocess.Popen[bytes]


def command(kind: str, fd: int) -> list[str]:
    if kind == "uvicorn":
        return ["uvicorn", f"--fd={fd}", "--log-level=warning", "tests.support.apps:asgi"]
    if kind == "gunicorn":
        return [
            "gunicorn",
            f"--bind=fd://{fd}",
            "--threads=4",
            "--log-level=warning",
            "tests.support.apps:wsgi",
        ]
    return ["tests.support.apps", str(fd)]


def listen(transport: str, folder: Path, name: str) -> tuple[socket.socket, str]:
    """A listening socket and its address."""
    if transport == "unix":
        path = folder / f"{name}.sock"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.bind(str(path))
        address = f"unix:{path}"
    else:
        sock = socket.create_server(("127.0.0.1", 0))
        address = "{}:{}".format(*sock.getsockname())
    sock.listen(BACKLOG)
    return sock, address


def start(arguments: Sequence[str], sock: socket.socket) -> subprocess.Popen[bytes]:
    """Run a module with the socket inherited; its output goes to ours, so that pytest shows a failure."""
    return subprocess.Popen(
        [sys.executable, "-W", "default", "-m", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        pass_fds=[sock.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )


def _end_with_parent() -> None:
    """In the child, before exec: a test run that is killed or crashes takes its servers with it (Linux)."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class AppServers:
    """Starts each kind of server on each transport at most once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._running: dict[tuple[str, str], AppServer] = {}

    def get(self, kind: str, transport: str) -> AppServer:
        """The server of that kind; fails if it has died meanwhile."""
        key = (kind, transport)
        if key not in self._running:
            self._running[key] = self._start(kind, transport)
        server = self._running[key]
        assert server.process.poll() is None, f"{kind} ended with status {server.process.returncode}"
        return server

    def _start(self, kind: str, transport: str) -> AppServer:
        sock, address = listen(transport, self.folder, kind)
        with sock:
            process = start(command(kind, sock.fileno()), sock)
        self._stack.callback(end, process)
        return AppServer(kind, address, process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
