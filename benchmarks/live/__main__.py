"""Algorithms beside each other in service: `python -m benchmarks.live --policies latency,ai_scored --levels 0.9`.

One proxy with one worker on core 0; on core 1 one process with twenty backends, whose capacity moves as in S1 of the
simulation, and the generator. For each level the algorithms take turns, round by round; each round has its own seed,
the same for all algorithms. Law of this file: a run whose generator was late, or whose proxy was busy, says nothing
and is told as such.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..processes import cpu_seconds, free_port, spawn
from .backends import Connection, Server
from .generator import Generator, Outcome

WORK = 0.04
"""CPU seconds of a request, on average: a backend with one core serves 25 per second."""
LAG, BUSY = 0.002, 0.7
"""A run is valid if the generator was at most so late (seconds, 99 %), and the proxy at most so busy."""
CONFIG = """
listeners: [{{bind: '127.0.0.1:{port}'}}]
access_log: null
upstreams:
  app:
    balance: {balance}
    retry: {{attempts: 0}}
    outlier: null
    slow_start: null
    backends: [{backends}]
routes: [{{upstream: app}}]
"""
POLICIES = {
    "round_robin": "round_robin",
    "power_of_two": "power_of_two",
    "latency": "latency",
    "latency, 2 choices": "{algorithm: latency, choices: 2}",
    "ai_scored": "ai_scored",
    "prequal": "prequal",
    "orca_weighted": "orca_weighted",
    "least_connections": "least_connections",
}


@dataclass
class Run:
    """One algorithm at one level in one round."""

    policy: str
    level: float
    round: int
    p50: float
    p99: float
    p999: float
    errors: float
    requests: int
    lag: float
    busy: float

    @property
    def valid(self) -> bool:
        return self.lag <= LAG and self.busy <= BUSY


def quantile(values: list[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.live", description=__doc__)
    made.add_argument("--policies", default="latency, 2 choices;ai_scored", help="separated by semicolons")
    made.add_argument("--levels", default="0.9", help="load as a share of one core per backend, separated by commas")
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seconds", type=float, default=20.0)
    made.add_argument("--warm-up", type=float, default=5.0)
    made.add_argument("--backends", type=int, default=20)
    made.add_argument("--sinkholes", type=int, default=0, help="so many backends answer 500 at once")
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--json", type=Path)
    return made


async def measure(options: argparse.Namespace, policy: str, level: float, number: int) -> Run:
    """Run one algorithm once."""
    loop = asyncio.get_running_loop()
    seed = options.seed * 1000 + number
    servers = [Server(seed * 100 + at) for at in range(options.backends)]
    for at, server in enumerate(servers):
        server.failing = at < options.sinkholes
    listening = [
        await loop.create_server(lambda server=server: Connection(server), "127.0.0.1", 0)  # type: ignore[misc]
        for server in servers
    ]
    addresses = [f"'127.0.0.1:{each.sockets[0].getsockname()[1]}'" for each in listening]
    with tempfile.TemporaryDirectory(prefix="live-") as name:
        port, path = free_port(), Path(name, "live.yaml")
        write(path, port, policy, addresses)
        with (Path(name) / "log").open("wb") as log:
            command = [sys.executable, "-m", "proxy", "run", "-c", str(path), "--run-dir", name]
            process = spawn(command, 0, log)
            try:
                await reachable(port)
                for server in servers:
                    server.start()
                before, began = cpu_seconds(process.pid), loop.time()
                generator = Generator(port, level * options.backends / WORK, WORK, seed)
                outcome = await generator.run(options.warm_up, options.seconds)
                busy = (cpu_seconds(process.pid) - before) / (loop.time() - began)
            finally:
                process.terminate()
                await asyncio.to_thread(process.wait)
                for server, each in zip(servers, listening, strict=True):
                    server.stop()
                    each.close()
    return summary(policy, level, number, outcome, busy)


def write(path: Path, port: int, policy: str, addresses: list[str]) -> None:
    path.write_text(CONFIG.format(port=port, balance=POLICIES[policy], backends=", ".join(addresses)))


async def reachable(port: int) -> None:
    """Until the proxy answers."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 30
    while loop.time() < deadline:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /probe HTTP/1.0\r\n\r\n")
            answered = await reader.read()
            writer.close()
            if answered:
                return
        except OSError:
            pass
        await asyncio.sleep(0.05)
    raise SystemExit("the proxy does not answer")


def summary(policy: str, level: float, number: int, outcome: Outcome, busy: float) -> Run:
    seen = outcome.latencies
    p50, p99, p999 = (quantile(seen, part) for part in (0.5, 0.99, 0.999))
    errors = outcome.errors / max(1, len(seen))
    return Run(policy, level, number, p50, p99, p999, errors, len(seen), quantile(outcome.lags, 0.99), busy)


def show(runs: list[Run], baseline: str) -> None:
    console = Console(width=None if sys.stdout.isatty() else 150)
    table = Table(title=f"in service; ratios to {baseline}, round by round: median (lowest-highest)")
    for name in "level|algorithm|p50 ms|p99 ms|p99.9 ms|errors|p99 ÷|requests|lag ms|valid".split("|"):
        table.add_column(name, justify="left" if name == "algorithm" else "right")
    for level in sorted({run.level for run in runs}):
        base = {run.round: run.p99 for run in runs if run.level == level and run.policy == baseline}
        for policy in dict.fromkeys(run.policy for run in runs):
            own = [run for run in runs if run.level == level and run.policy == policy]
            ratios = [run.p99 / base[run.round] for run in own if run.round in base]
            table.add_row(
                *(f"{level:g}", policy, middle(own, "p50"), middle(own, "p99"), middle(own, "p999")),
                f"{statistics.fmean(run.errors for run in own):.3%}",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "",
                f"{sum(run.requests for run in own):,}",
                f"{max(run.lag for run in own) * 1e3:.1f}",
                f"{sum(run.valid for run in own)} of {len(own)}",
            )
    console.print(table)


def middle(runs: list[Run], name: str) -> str:
    return f"{statistics.median(getattr(run, name) for run in runs) * 1e3:.0f}"


async def main(options: argparse.Namespace) -> list[Run]:
    policies = [each.strip() for each in options.policies.split(";")]
    if unknown := [each for each in policies if each not in POLICIES]:
        raise SystemExit(f"unknown: {', '.join(unknown)}; there are: {'; '.join(POLICIES)}")
    levels = [float(each) for each in options.levels.split(",")]
    runs = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(levels) * options.rounds * len(policies))
        for level in levels:
            for number in range(options.rounds):
                for policy in policies:
                    bar.update(task, description=f"{level:g} x, round {number + 1}, {policy}")
                    runs.append(await measure(options, policy, level, number))
                    bar.advance(task)
    return runs


if __name__ == "__main__":
    chosen = parser().parse_args()
    os.sched_setaffinity(0, {1})
    found = uvloop.run(main(chosen))
    if chosen.json:
        saved: list[dict[str, Any]] = [vars(run) | {"valid": run.valid} for run in found]
        chosen.json.write_text(json.dumps(saved, indent=1) + "\n")
    show(found, chosen.policies.split(";")[0].strip())
    sys.exit(0 if all(run.valid for run in found) else 1)
