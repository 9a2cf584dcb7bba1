"""What hedging does to the tail: `python -m benchmarks.hedging`.

Three backends answer within 2 ms, and now and then, each for itself, within 100 ms: a pause of a garbage collector, a
cold cache. The same load goes through the proxy with and without hedging, in turns.

Law of this file: a latency runs from the moment that a request was due. What the backends have got is counted there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .overload import RESPONSE, Load, started
from .processes import free_port, raise_open_files

USUAL, PAUSE, SHARE = 0.002, 0.1, 0.02
"""Seconds, and how often it is the second. More than the share that is hedged (5 %) no hedging could help against."""
VARIANTS = {"no hedging": "", "hedge: {}": "retry: {hedge: {}}"}


class Backend(asyncio.Protocol):
    """A connection to a backend."""

    asked = 0
    dice = Random(1)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"COUNT"):
            self.transport.write(b"%d" % Backend.asked)
            return
        for _ in range(data.count(b"\r\n\r\n")):
            Backend.asked += 1
            seconds = PAUSE if Backend.dice.random() < SHARE else USUAL
            asyncio.get_running_loop().call_later(seconds, self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(RESPONSE)


async def serve(ports: list[int]) -> None:
    for port in ports:
        await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=1024)
    await asyncio.Event().wait()


async def asked(port: int) -> int:
    """How many requests the backends have got."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"COUNT")
    count = int(await reader.read(32))
    writer.close()
    return count


async def measure(port: int, backend: int, options: argparse.Namespace) -> dict[str, float]:
    await Load(port, options.rate, 6.0).run()  # until a percentile is known
    before = await asked(backend)
    load = Load(port, options.rate, options.seconds)
    await load.run()
    good = sorted(load.good)
    parts = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: good[int(part * (len(good) - 1))] * 1e3 for name, part in parts.items()}
    return {**found, "extra": (await asked(backend) - before) / load.due - 1, "failed": load.due - len(good)}


def run(options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("rounds", total=options.rounds * len(VARIANTS))
        for _ in range(options.rounds):
            for name, settings in VARIANTS.items():
                found[name].append(one(options, folder, settings))
                progress.advance(task)
    return found


def one(options: argparse.Namespace, folder: Path, settings: str) -> dict[str, float]:
    ports, port = [free_port() for _ in range(3)], free_port()
    config = folder / "qantara.yaml"
    listed = ", ".join(f"'127.0.0.1:{each}'" for each in ports)
    config.write_text(
        f"listeners: [{{bind: '127.0.0.1:{port}'}}]\naccess_log: null\n"
        f"upstreams: {{app: {{backends: [{listed}], {settings}}}}}\nroutes: [{{upstream: app}}]\n"
    )
    module = [sys.executable, "-m"]
    origin = started([*module, "benchmarks.hedging", "--serve", *map(str, ports)], ports[-1])
    proxy: subprocess.Popen[bytes] = started(
        [*module, "proxy", "run", "-c", str(config), "--run-dir", str(folder)], port
    )
    try:
        return uvloop.run(measure(port, ports[0], options))
    finally:
        proxy.send_signal(signal.SIGINT)
        proxy.send_signal(signal.SIGINT)
        proxy.wait(60)
        origin.kill()
        origin.wait()


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.hedging", description=__doc__)
    made.add_argument("--rate", type=float, default=400.0, help="requests per second")
    made.add_argument("--seconds", type=float, default=10.0)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--json", type=Path)
    made.add_argument("--serve", type=int, nargs="+", help=argparse.SUPPRESS)
    options = made.parse_args()
    if options.serve:
        uvloop.run(serve(options.serve))
    raise_open_files(4096)
    with tempfile.TemporaryDirectory(prefix="hedge-") as folder:
        found = run(options, Path(folder))
    table = Table(title=f"{SHARE:.0%} of the answers take {PAUSE * 1e3:.0f} ms instead of {USUAL * 1e3:.0f} ms")
    for heading in ("", "p50 ms", "p95 ms", "p99 ms", "extra requests", "failed"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, rounds in found.items():
        times = [f"{statistics.median(each[key] for each in rounds):.1f}" for key in ("p50", "p95", "p99")]
        extra = f"{statistics.median(each['extra'] for each in rounds):.1%}"
        table.add_row(name, *times, extra, f"{sum(each['failed'] for each in rounds):.0f}")
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(each["failed"] for rounds in found.values() for each in rounds) else 0


if __name__ == "__main__":
    sys.exit(main())
