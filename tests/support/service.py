"""The proxy as `qantara run` starts it, with its supervisor, and the commands about it.

async with running(tmp_path, "routes: [{respond: {body: hello}}]\naccess_log: null\n") as service:
    await service.reload(...)

Invariant: every process is ended, by its group, when the context is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from proxy.console.admin_client import ask
from proxy.errors import ControlError
from proxy.server.runtime_paths import RuntimePaths, run_dir

from . import PATIENCE
from .launcher import Process, launch
from .process import kill_group

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Running:
    """A proxy that was started with `qantara run`, and the commands about it."""

    def __init__(self, file: Path, path: Path, constants: Mapping[str, Any] = NOTHING) -> None:
        self.file = file
        self.constants = constants
        """Of its supervisor, as for `launch`."""
        self.command: Sequence[str] = ()
        """What starts it, in the folder of its file; nothing: it is launched."""
        self.path = path
        """Of its Unix socket."""
        self.bind = f"unix:{path}"
        self.groups: list[int] = []
        self.processes: list[Any] = []
        self.logs: list[asyncio.Task[None]] = []
        self.said = ""

    @property
    def address(self) -> tuple[str, int] | str:
        """Where it listens."""
        port = re.search(r"listening on 127\.0\.0\.1:(\d+)", self.said)
        return ("127.0.0.1", int(port[1])) if port is not None else str(self.path)

    async def start(self, *more: str) -> Any:
        arguments = ("run", "-c", str(self.file), *more)
        process: Process | asyncio.subprocess.Process
        if self.command:
            process = await asyncio.create_subprocess_exec(
                *(*self.command, *arguments),
                cwd=self.file.parent,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        else:
            process = await launch(*arguments, constants=self.constants)
        assert process.stderr is not None
        self.groups.append(process.pid)
        self.processes.append(process)
        self.logs.append(asyncio.create_task(self._listen(process.stderr)))
        return process

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.said += line.decode()

    async def until_said(self, text: str, times: int = 1) -> None:
        await until(lambda: self.said.count(text) >= times)

    async def status(self) -> dict[str, Any]:
        return dict((await self.call("GET", "/status"))[1])

    async def call(self, method: str, target: str, body: Any = None) -> tuple[int, Any]:
        return await asyncio.to_thread(ask, RuntimePaths(run_dir(), str(self.file)).control, method, target, body)

    async def workers(self) -> dict[int, int]:
        """Slot to pid, of those that serve."""
        return {each["slot"]: each["pid"] for each in (await self.status())["workers"] if each["state"] == "serving"}

    def write(self, yaml: str) -> None:
        self.file.write_text(f"listeners: [{{bind: '{self.bind}'}}]\n{yaml}")

    async def reload(self, yaml: str) -> dict[str, Any]:
        self.write(yaml)
        status, told = await self.call("POST", "/reload")
        assert status == (200 if told["ok"] else 422)
        return dict(told)


@asynccontextmanager
async def running(
    folder: Path,
    yaml: str,
    tcp: bool = False,
    constants: Mapping[str, Any] = NOTHING,
    command: Sequence[str] = (),
) -> AsyncIterator[Running]:
    service = Running(folder / "qantara.yaml", folder / "q.sock", constants)
    service.command = command
    if tcp:
        service.bind = "127.0.0.1:0"
    service.write(yaml)
    await service.start()
    try:
        await service.until_said(" workers")
        yield service
    finally:
        with contextlib.suppress(ControlError):
            service.groups.append((await service.status())["pid"])
        for leader in service.groups:
            kill_group(leader)
        await asyncio.gather(*service.logs)
        await asyncio.gather(*(process.communicate() for process in service.processes))


async def until(condition: Any, patience: float = PATIENCE) -> None:
    """Until it holds; it may be a coroutine function."""
    async with asyncio.timeout(patience):
        while True:
            found = condition()
            if await found if asyncio.iscoroutine(found) else found:
                return
            await asyncio.sleep(0.02)
