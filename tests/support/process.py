"""The proxy as a process of its own, as `qantara run` starts it, for what can only be seen from outside: memory.

Invariant: its processes are ended, by their group, when the context is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from proxy.console.admin_client import ask
from proxy.server.runtime_paths import RuntimePaths, run_dir

from . import PATIENCE
from .launcher import launch

PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    """Of its only worker."""
    address: str
    """The path of its Unix socket."""

    def memory(self) -> int:
        """Resident memory in bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE

    def peak_memory(self) -> int:
        """The most resident memory since the process began, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("this kernel does not say VmHWM")


@asynccontextmanager
async def process(folder: Path, yaml: str) -> AsyncIterator[Process]:
    """Runs `yaml`, which names no listeners and no access log, on a Unix socket in `folder`."""
    path = folder / "proxy.sock"
    config = folder / "proxy.yaml"
    config.write_text(f"{yaml}\nlisteners: [{{bind: 'unix:{path}'}}]\naccess_log: null\n")
    child = await launch("run", "-c", str(config))
    try:
        async with asyncio.timeout(PATIENCE):
            said = b""
            while b"listening on" not in said:
                line = await child.stderr.readline()
                assert line, said.decode()
                said += line
        _, status = await asyncio.to_thread(ask, RuntimePaths(run_dir(), str(config)).control, "GET", "/status")
        yield Process(status["workers"][0]["pid"], str(path))
    finally:
        kill_group(child.pid)
        await child.communicate()


def kill_group(leader: int) -> None:
    """End a proxy that a test started, supervisor and workers."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
