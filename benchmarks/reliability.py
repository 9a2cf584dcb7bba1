"""What happens to requests while something happens to the proxy: `python -m benchmarks.reliability reload`.

Each trial runs the proxy as `qantara run` starts it, two workers, in front of nginx, under a constant rate of requests
on keep-alive connections (openloop.c), and does something to it: reloads, an upgrade, a killed worker each second, a
killed supervisor. Law of this file: every request is counted; a trial fails if one is lost that must not be. The only
ones that may be are those in flight on a connection of a worker that was just killed; they are told apart by port.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import websockets
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .loads import openloop
from .origin import serve
from .processes import free_port

SOCKETS = 20
logging.getLogger("websockets").setLevel(logging.CRITICAL)  # its connections are cut on purpose
KILL_GRACE = 1.0
"""Seconds after a kill in which its losses are seen."""


@dataclass
class Trial:
    """One running proxy, and what is known of it."""

    folder: Path
    port: int
    config: Path
    options: argparse.Namespace
    notes: dict[str, Any] = field(default_factory=dict)
    victims: list[tuple[float, set[int]]] = field(default_factory=list)
    """When a worker was killed, and the client ports of its connections."""

    def qantara(self, command: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "proxy", command, "-c", str(self.config), "--run-dir", str(self.folder), *more]

    async def call(self, command: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self.qantara(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise SystemExit(f"qantara {command} failed: {said.decode()}")
        return said.decode()

    async def control(self, method: str, target: str) -> Any:
        """Ask on the control socket, without a process for each question."""
        (place,) = self.folder.glob("*.sock")
        reader, writer = await asyncio.open_unix_connection(str(place))
        head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        answer = await reader.read()
        writer.close()
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    async def workers(self) -> dict[int, int]:
        """Slot to pid."""
        return {worker["slot"]: worker["pid"] for worker in (await self.control("GET", "/status"))["workers"]}


def ports_of(pid: int, port: int) -> set[int]:
    """The client ports of the connections that a process has on our listener, from /proc."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(entry)
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        cells = line.split()
        if cells[9] in inodes and int(cells[1].split(":")[1], 16) == port:
            found.add(int(cells[2].split(":")[1], 16))
    return found


# --- trials -------------------------------------------------------------------------------------------


async def reload(trial: Trial, progress: Progress) -> None:
    """Reload again and again, each time with another configuration."""
    times = trial.options.times
    task = progress.add_task("reloads", total=times)
    memory = []
    text = trial.config.read_text()
    seconds = 0.0
    for number in range(times):
        trial.config.write_text(text + f"# {number}\n" + ("via: other\n" if number % 2 else ""))
        answer = await trial.control("POST", "/reload")
        if not answer["ok"]:
            raise SystemExit(f"reload {number} refused: {answer['problems']}")
        seconds += answer["seconds"]
        if number in (times // 10, times - 1):
            memory.append({slot: resident(pid) for slot, pid in (await trial.workers()).items()})
        progress.advance(task)
    trial.notes["reloads"] = times
    trial.notes["ms per reload"] = round(seconds / times * 1e3, 1)
    growth = max(memory[-1][slot] / memory[0][slot] for slot in memory[0])
    trial.notes["memory of a worker, end ÷ after a tenth"] = round(growth, 3)
    trial.notes["ok"] = growth < 1.1


async def upgrade(trial: Trial, progress: Progress) -> None:
    """Replace the whole proxy, several times."""
    task = progress.add_task("upgrades", total=trial.options.times)
    for _ in range(trial.options.times):
        before = (await trial.control("GET", "/status"))["pid"]
        await trial.call("upgrade")
        after = (await trial.control("GET", "/status"))["pid"]
        assert after != before
        await asyncio.sleep(1.0)
        progress.advance(task)
    trial.notes["upgrades"] = trial.options.times
    trial.notes["ok"] = True


async def kill_worker(trial: Trial, progress: Progress) -> None:
    """SIGKILL one of the workers each second."""
    task = progress.add_task("kills", total=trial.options.times)
    slowest = 0.0
    for number in range(trial.options.times):
        workers = await trial.workers()
        slot = sorted(workers)[number % len(workers)]
        victim = workers[slot]
        trial.victims.append((time.monotonic(), ports_of(victim, trial.port)))
        os.kill(victim, signal.SIGKILL)
        began = time.monotonic()
        while (await trial.workers()).get(slot) in (None, victim):  # noqa: ASYNC110  # another process's state
            await asyncio.sleep(0.005)
        slowest = max(slowest, time.monotonic() - began)
        progress.advance(task)
        await asyncio.sleep(max(0.0, 1.0 - (time.monotonic() - began)))
    trial.notes["workers killed"] = trial.options.times
    trial.notes["slowest replacement, s"] = round(slowest, 3)
    trial.notes["ok"] = slowest < 1.0


async def kill_supervisor(trial: Trial, progress: Progress) -> None:
    """SIGKILL the supervisor, leave the workers alone for a while, then let a new one take over."""
    task = progress.add_task("supervisors", total=trial.options.times)
    for _ in range(trial.options.times):
        os.kill((await trial.control("GET", "/status"))["pid"], signal.SIGKILL)
        await asyncio.sleep(trial.options.alone)
        await start(trial)
        await asyncio.sleep(1.0)
        progress.advance(task)
    trial.notes["supervisors killed"] = trial.options.times
    trial.notes["seconds without one, each"] = trial.options.alone
    trial.notes["ok"] = True


TRIALS: dict[str, Callable[[Trial, Progress], Awaitable[None]]] = {
    "reload": reload,
    "upgrade": upgrade,
    "kill-worker": kill_worker,
    "kill-supervisor": kill_supervisor,
}


# --- around them --------------------------------------------------------------------------------------


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def start(trial: Trial) -> asyncio.subprocess.Process:
    """Start the proxy and wait until it serves."""
    process = await asyncio.create_subprocess_exec(
        *trial.qantara("run"), stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert process.stderr is not None
    said = b""
    while b"workers" not in said.rpartition(b"listening on")[2]:
        line = await asyncio.wait_for(process.stderr.readline(), 30)
        if not line:
            raise SystemExit(f"the proxy does not start: {said.decode()}")
        said += line
    asyncio.get_running_loop().create_task(swallow(process.stderr, trial.folder / "log"))
    return process


async def swallow(stream: asyncio.StreamReader, path: Path) -> None:
    with path.open("ab") as log:
        while line := await stream.readline():
            log.write(line)
            log.flush()


@contextlib.asynccontextmanager
async def web_sockets(trial: Trial, port: int) -> AsyncIterator[list[str]]:
    """Connections that must last: each sends a message every 100 ms and wants it back. Yields what went wrong."""
    wrong: list[str] = []

    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    async def talk(number: int) -> None:
        try:
            async with websockets.connect(f"ws://127.0.0.1:{trial.port}/ws", ping_interval=None) as connection:
                while True:
                    await connection.send(f"{number}")
                    assert await asyncio.wait_for(connection.recv(), 10) == f"{number}"
                    await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            wrong.append(f"WebSocket {number}: {error!r}")

    async with websockets.serve(echo, "127.0.0.1", port, ping_interval=None):
        await start(trial)
        tasks = [asyncio.create_task(talk(number)) for number in range(trial.options.sockets)]
        yield wrong
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(options: argparse.Namespace, folder: Path, origin_port: int) -> dict[str, Any]:
    port, socket_port = free_port(), free_port()
    config = folder / "qantara.yaml"
    config.write_text(
        f"listeners: [{{bind: '127.0.0.1:{port}'}}]\nworkers: {options.workers}\naccess_log: null\n"
        f"timeouts: {{drain: 5s}}\nlimits: {{requests_per_connection: 2000000000}}\n"
        f"upstreams:\n  app: {{backends: ['127.0.0.1:{origin_port}']}}\n"
        f"  ws: {{backends: ['127.0.0.1:{socket_port}']}}\n"
        f"routes: [{{path: /ws, upstream: ws}}, {{path: /, upstream: app}}]\n"
    )
    trial = Trial(folder, port, config, options)
    async with web_sockets(trial, socket_port) as wrong:
        generator = await asyncio.create_subprocess_exec(
            *(openloop(), str(port), str(options.rate), str(options.connections), "1", str(options.seconds)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        talking = asyncio.create_task(generator.communicate(b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n"))
        await asyncio.sleep(1.5)
        with Progress(console=Console(stderr=True)) as progress:
            await TRIALS[options.trial](trial, progress)
        generator.send_signal(signal.SIGTERM)
        said, _ = await talking
        lost = list(wrong)  # what the stop does to the others is no loss
        pid = (await trial.control("GET", "/status"))["pid"]
        os.kill(pid, signal.SIGTERM)
        await gone(pid)
    return judge(trial, json.loads(said), lost)


async def gone(pid: int) -> None:
    """Wait until a process has ended; one that nobody waits for stays as a zombie, which is as good."""
    status = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(FileNotFoundError):
        while " Z " not in status.read_text():  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.05)


def judge(trial: Trial, load: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    """What was lost, and what of it may have been."""
    allowed = [
        port
        for at, port in load["lost"]
        if any(killed <= at <= killed + KILL_GRACE and port in ports for killed, ports in trial.victims)
    ]
    sockets_must_last = trial.options.trial == "reload"
    result = {
        "trial": trial.options.trial,
        **trial.notes,
        "requests": load["requests"],
        "requests/s": trial.options.rate,
        "failed": load["errors"] - len(allowed) + load["unanswered"],
        "in flight on a killed worker's connections": len(allowed),
        "p99, ms": round(load["p99_us"] / 1e3, 2),
        "slowest, ms": round(load["max_us"] / 1e3, 1),
        "WebSockets": trial.options.sockets,
        "WebSockets lost": len(wrong),
    }
    result["passed"] = bool(trial.notes["ok"] and not result["failed"] and not (sockets_must_last and wrong))
    if not result["passed"]:
        result["log"] = (trial.folder / "log").read_text()[-600:]
        result["wrong"] = wrong[:5]
    return result


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.reliability", description=__doc__)
    made.add_argument("trial", choices=TRIALS)
    made.add_argument("--times", type=int, default=10, help="how often it happens")
    made.add_argument("--rate", type=float, default=5000, help="requests per second")
    made.add_argument("--connections", type=int, default=64)
    made.add_argument("--sockets", type=int, default=SOCKETS, help="WebSockets that must last")
    made.add_argument("--workers", type=int, default=2)
    made.add_argument("--alone", type=float, default=2.0, help="seconds that workers are without a supervisor")
    made.add_argument("--seconds", type=float, default=600, help="the load ends after so long at the latest")
    made.add_argument("--json", type=Path)
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="rel-") as name, serve(Path(name) / "origin", 1) as origin:
        result = asyncio.run(run(options, Path(name), origin.port))
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["passed"] else 1


def show(result: dict[str, Any]) -> None:
    table = Table(title=f"{result['trial']}: {'passed' if result['passed'] else 'FAILED'}")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in result.items():
        if name not in ("trial", "passed"):
            table.add_row(name, str(value))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
