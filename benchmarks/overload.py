"""Three times what can be served: `python -m benchmarks.overload`.

A backend works on a few requests at a time and lets the others wait, without end and without noticing who has left,
as app servers do. Clients ask at a constant rate, whatever happens, and give up after a second. Goodput is what was
answered well by then. The same load goes through the proxy with its adaptive limit, and with no limit at all.

Law of this file: a latency runs from the moment that a request was due. Nothing that was due is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .processes import free_port, raise_open_files

PLACES, SERVICE = 10, 0.02
CAPACITY = PLACES / SERVICE
"""Requests per second that the backend can do."""
PATIENCE = 1.0
"""Seconds after which a client gives up."""
GOODPUT = 0.9
"""The share of the peak that has to be left."""
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"
VARIANTS = {
    "adaptive limit": "concurrency: {}",
    "no limit": "limits: {requests_per_backend: 0}",
}


class Backend(asyncio.Protocol):
    """A connection to the backend."""

    waiting: ClassVar[deque[Backend]] = deque()
    busy = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            Backend.waiting.append(self)
        Backend.work()

    @classmethod
    def work(cls) -> None:
        while cls.waiting and cls.busy < PLACES:
            cls.busy += 1
            asyncio.get_running_loop().call_later(SERVICE, cls.waiting.popleft().answer)

    def answer(self) -> None:
        Backend.busy -= 1
        if not self.transport.is_closing():
            self.transport.write(RESPONSE)
        Backend.work()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


class Client(asyncio.Protocol):
    """A connection to the proxy, one request at a time."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.due = 0.0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, due: float) -> None:
        self.due = due
        self.transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        if self.due:
            self.load.answered(self, data.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, _: Exception | None) -> None:
        self.load.lost(self)


class Load:
    """Requests that fall due at a constant rate."""

    def __init__(self, port: int, rate: float, seconds: float) -> None:
        self.port, self.rate, self.seconds = port, rate, seconds
        self.idle: list[Client] = []
        self.good: list[float] = []
        self.refused = self.late = self.broken = self.due = 0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        begin = loop.time()
        while (now := loop.time()) < begin + self.seconds:
            while begin + self.due / self.rate <= now:
                due = begin + self.due / self.rate
                self.due += 1
                if self.idle:
                    self.begin(self.idle.pop(), due)
                else:
                    connecting = loop.create_connection(lambda: Client(self), "127.0.0.1", self.port)
                    task = loop.create_task(connecting)
                    task.add_done_callback(lambda task, due=due: self.begin(task.result()[1], due))  # type: ignore[misc]
            await asyncio.sleep(0.002)
        await asyncio.sleep(PATIENCE + 0.5)

    def begin(self, client: Client, due: float) -> None:
        client.ask(due)
        self.loop.call_at(due + PATIENCE, self.give_up, client, due)

    def give_up(self, client: Client, due: float) -> None:
        if client.due == due:
            client.due = 0.0
            self.late += 1
            client.transport.abort()

    def answered(self, client: Client, good: bool) -> None:
        if good:
            self.good.append(self.loop.time() - client.due)
        else:
            self.refused += 1
        client.due = 0.0
        self.idle.append(client)

    def lost(self, client: Client) -> None:
        if client.due:
            self.broken += 1
            client.due = 0.0
        if client in self.idle:
            self.idle.remove(client)


class Outcome(NamedTuple):
    """What a load met."""

    variant: str
    offered: float
    """In multiples of what the backend can do."""
    goodput: float
    """Requests per second."""
    p50: float
    p99: float
    """ms, of those answered well."""
    refused: float
    late: float
    """Shares of all."""


async def measure(variant: str, times: float, port: int, seconds: float) -> Outcome:
    load = Load(port, times * CAPACITY, seconds)
    await load.run()
    assert load.due == len(load.good) + load.refused + load.late + load.broken, "a request was lost sight of"
    good = sorted(load.good) or [float("nan")]
    p50, p99 = (round(good[int(part * (len(good) - 1))] * 1e3, 1) for part in (0.5, 0.99))
    shares = (round(count / load.due, 3) for count in (load.refused, load.late + load.broken))
    return Outcome(variant, times, round(len(load.good) / seconds, 1), p50, p99, *shares)


def started(argv: list[str], port: int) -> subprocess.Popen[bytes]:
    """A process that answers on a port by now: that it listens is not enough, what came before it serves would wait."""
    process = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while True:
        try:
            asyncio.run(_reach(port))
            return process
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{argv[2]} does not start") from None
            time.sleep(0.05)


async def _reach(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST)
    answered = await reader.read(1)
    writer.close()
    if not answered:
        raise ConnectionResetError(port)


def run(options: argparse.Namespace, folder: Path) -> list[Outcome]:
    found = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("loads", total=len(VARIANTS) * len(options.times))
        for variant, settings in VARIANTS.items():
            for times in options.times:
                origin_port, port = free_port(), free_port()
                config = folder / "qantara.yaml"
                config.write_text(
                    f"listeners: [{{bind: '127.0.0.1:{port}'}}]\nworkers: {options.workers}\naccess_log: null\n"
                    f"upstreams: {{app: {{backends: ['127.0.0.1:{origin_port}'], {settings}}}}}\n"
                    "routes: [{upstream: app}]\n"
                )
                module = [sys.executable, "-m"]
                origin = started([*module, "benchmarks.overload", "--serve", str(origin_port)], origin_port)
                proxy = started([*module, "proxy", "run", "-c", str(config), "--run-dir", str(folder)], port)
                try:
                    found.append(uvloop.run(measure(variant, times, port, options.seconds)))
                finally:
                    proxy.send_signal(signal.SIGINT)
                    proxy.send_signal(signal.SIGINT)
                    proxy.wait(60)
                    os.kill(origin.pid, signal.SIGKILL)
                    origin.wait()
                progress.advance(task)
    return found


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    made.add_argument("--times", type=float, nargs="+", default=[0.8, 1.0, 3.0], help="offered load / capacity")
    made.add_argument("--seconds", type=float, default=20.0)
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--json", type=Path)
    made.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
    raise_open_files(20_000)
    with tempfile.TemporaryDirectory(prefix="over-") as folder:
        found = run(options, Path(folder))
    table = Table(title=f"a backend that can do {CAPACITY:.0f} requests/s, clients that wait {PATIENCE:.0f} s")
    for name in ("variant", "offered", "goodput/s", "p50 ms", "p99 ms", "refused", "given up"):
        table.add_column(name, justify="left" if name == "variant" else "right")
    for outcome in found:
        table.add_row(*map(str, outcome))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps([outcome._asdict() for outcome in found], indent=1) + "\n")
    ours = [outcome for outcome in found if outcome.variant == "adaptive limit"]
    peak = max(outcome.goodput for outcome in ours)
    worst = ours[-1].goodput / peak
    Console().print(f"goodput at {ours[-1].offered} times the capacity: {worst:.1%} of the peak")
    return 0 if worst >= GOODPUT else 1


if __name__ == "__main__":
    sys.exit(main())
