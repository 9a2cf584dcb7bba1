"""Commands of the proxy as processes, forked from one that has imported the package: a start takes milliseconds of CPU.

    process = await launch("run", "-c", path)        # `qantara run -c PATH`
    line = await process.stderr.readline()

`python -m tests.support.launcher FD` is the launcher, one for each process of pytest, which ends with it. What it
forks has a session, an environment, a folder, outputs and an exit code of its own; what belongs to the start of the
interpreter is tested with `python -m proxy`. Invariant: the launcher has one thread, and no state but its imports.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

from . import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
MOST = 1 << 17
"""Bytes of a request: arguments, folder, environment."""
IMPORTED = "cli configuration.compile configuration.load console.admin_client console.policy.new server.run"
"""What the commands import when they are called, below `proxy`."""


# --- in a test ---------------------------------------------------------------------------------------


class Output(asyncio.StreamReaderProtocol):
    """What comes through a pipe."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.lost = asyncio.Event()
        super().__init__(self.reader)

    def eof_received(self) -> bool:
        super().eof_received()
        return False  # the transport closes

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()

    async def rest(self) -> bytes:
        """Everything from here to the end; the pipe is closed then."""
        data = await self.reader.read()
        await self.lost.wait()
        return data


class Process:
    """A command that was launched; the names are those of asyncio.subprocess.Process."""

    def __init__(self, pid: int, ended: asyncio.Task[int], outputs: Sequence[Output]) -> None:
        self.pid = pid
        self.stdout, self.stderr = (output.reader for output in outputs)
        self._ended = ended
        self._outputs = outputs

    @property
    def returncode(self) -> int | None:
        """None while it runs; the signal's number, negative, if one has ended it."""
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._ended)

    async def communicate(self) -> tuple[bytes, bytes]:
        """What it writes from here to its end."""
        out, err = self._outputs
        return (await asyncio.gather(out.rest(), err.rest(), self.wait()))[:2]

    def send_signal(self, number: int) -> None:
        if not self._ended.done():
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


async def launch(
    *arguments: str,
    cwd: Path = ROOT,
    stdout: int | None = None,
    constants: Mapping[str, Any] = MappingProxyType({}),
) -> Process:
    """Run `qantara` with these arguments, as the leader of a session of its own.

    `stdout` is a file descriptor, or a pipe is made; `constants` are values of the process, such as
    {"proxy.server.workers:HUNG_AFTER": 1.0}. What PYTHONPATH names comes behind `cwd` on its path.
    """
    asked = {"arguments": arguments, "cwd": str(cwd), "environment": dict(os.environ), "constants": dict(constants)}
    with ExitStack() as stack:
        ours, theirs = socket.socketpair()
        stack.enter_context(theirs)
        out, out_end = pipe(stack)
        err, err_end = pipe(stack)
        ends = [theirs.fileno(), out_end if stdout is None else stdout, err_end]
        socket.send_fds(launcher(), [json.dumps(asked).encode()], ends)
    status, writer = await asyncio.open_unix_connection(sock=ours)
    async with asyncio.timeout(PATIENCE):
        pid = int(await status.readline())
    outputs = [await _output(out), await _output(err)]
    return Process(pid, asyncio.create_task(_exit_code(status, writer)), outputs)


def pipe(stack: ExitStack) -> tuple[int, int]:
    """A pipe whose end to write to is closed here with the stack."""
    read, write = os.pipe()
    stack.callback(os.close, write)
    return read, write


async def _output(fd: int) -> Output:
    _, output = await asyncio.get_running_loop().connect_read_pipe(Output, os.fdopen(fd, "rb", 0))
    return output


async def _exit_code(status: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    try:
        return int(await status.readline())
    finally:
        writer.close()


_launcher: list[socket.socket] = []


def launcher() -> socket.socket:
    """Where launches are asked for; the launcher is started by the first."""
    if not _launcher:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
        _launcher.append(ours)
        atexit.register(_end, ours, process)
    return _launcher[0]


def _end(sock: socket.socket, process: subprocess.Popen[bytes]) -> None:
    sock.close()
    process.wait()


# --- the launcher ------------------------------------------------------------------------------------


class Launcher:
    """Forks what is asked for, and reports how it ends."""

    def __init__(self, asked: socket.socket) -> None:
        self.asked = asked
        self.selector = selectors.DefaultSelector()
        self.selector.register(asked, selectors.EVENT_READ)
        self.statuses: dict[int, tuple[int, socket.socket]] = {}
        """The pid and who asked, of each file descriptor of a process."""

    def serve(self) -> list[str]:
        """Returns in what was forked, with its arguments; the launcher itself ends when nobody can ask any more."""
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.asked:
                    if (arguments := self.take()) is not None:
                        return arguments
                else:
                    self.report(key.fd)

    def take(self) -> list[str] | None:
        """Fork for the next request. Returns the arguments in the child."""
        data, fds, _, _ = socket.recv_fds(self.asked, MOST, 8)
        if not data:
            raise SystemExit(0)
        request = json.loads(data)
        status, *outputs = fds
        ready, begun = os.pipe()
        pid = os.fork()
        if not pid:
            self.forget()
            os.close(status)
            become(request, outputs)
            os.write(begun, b".")
            os.close(begun)
            os.close(ready)
            return list(request["arguments"])
        os.close(begun)
        os.read(ready, 1)  # it leads its session by now, so that it can be ended by that
        for fd in (ready, *outputs):
            os.close(fd)
        sock = socket.socket(fileno=status)
        sock.send(b"%d\n" % pid)
        watched = os.pidfd_open(pid)
        self.statuses[watched] = (pid, sock)
        self.selector.register(watched, selectors.EVENT_READ)
        return None

    def report(self, watched: int) -> None:
        """A process has ended."""
        pid, sock = self.statuses.pop(watched)
        _, code = os.waitpid(pid, 0)
        self.selector.unregister(watched)
        os.close(watched)
        with sock:
            try:
                sock.send(b"%d\n" % os.waitstatus_to_exitcode(code))
            except BrokenPipeError:
                pass  # the test has ended meanwhile

    def forget(self) -> None:
        """In the child: what it has inherited of the launcher's."""
        self.selector.close()
        self.asked.close()
        for watched, (_, sock) in self.statuses.items():
            os.close(watched)
            sock.close()


def become(request: dict[str, Any], outputs: list[int]) -> None:
    """In the child: what would be its own if it had been started as a program."""
    os.setsid()
    for fd, number in zip(outputs, (1, 2), strict=True):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    beside = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:1] = [request["cwd"], *(path for path in beside if path and path not in sys.path)]
    sys.argv = ["qantara", *request["arguments"]]
    for name, value in request["constants"].items():
        module, _, constant = name.partition(":")
        assert hasattr(importlib.import_module(module), constant)
        setattr(importlib.import_module(module), constant, value)


def main() -> int:
    for name in IMPORTED.split():
        importlib.import_module(f"proxy.{name}")
    gc.freeze()
    arguments = Launcher(socket.socket(fileno=int(sys.argv[1]))).serve()
    from proxy.cli import main as command
    from proxy.server.safe_path import leave_working_folder

    leave_working_folder()
    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())
