"""Requests while backends die: `python -m benchmarks.backends --backends 3 --kill 1 --every 5 --seconds 30`.

One process opens a listening socket for each backend and answers on all of them; `--kill` of them, at random, are
killed every `--every` seconds: listener and connections closed with a reset, as the kernel does for a process that was
killed. Those killed before come back. Law of this file: every request is counted, and one that its client sees fail is
a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .loads import openloop
from .processes import free_port, raise_open_files

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
RESET = struct.pack("ii", 1, 0)
MARK = 0.99999
"""The share of requests that have to succeed."""


class Server(asyncio.Protocol):
    """A backend's connection: answers every request, and remembers itself for the kill."""

    def __init__(self, open_ones: set[Server]) -> None:
        self.open_ones = open_ones

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.open_ones.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.open_ones.discard(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(RESPONSE * data.count(b"\r\n\r\n"))

    def kill(self) -> None:
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()


async def backends(count: int, pipe: Connection) -> None:
    """Serve; each message is the list of those to be dead from now on."""
    loop = asyncio.get_running_loop()
    open_ones: list[set[Server]] = [set() for _ in range(count)]
    servers = [await loop.create_server(lambda n=n: Server(open_ones[n]), "127.0.0.1", 0) for n in range(count)]  # type: ignore[misc]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    pipe.send(ports)
    dead: set[int] = set()
    while True:
        wanted = set(await loop.run_in_executor(None, pipe.recv))
        for n in wanted - dead:
            servers[n].close()
            for connection in list(open_ones[n]):
                connection.kill()
        for n in dead - wanted:
            servers[n] = await loop.create_server(lambda n=n: Server(open_ones[n]), "127.0.0.1", ports[n])  # type: ignore[misc]
        dead = wanted


def serve(count: int, pipe: Connection) -> None:
    uvloop.run(backends(count, pipe))


def run(options: argparse.Namespace, folder: Path, pipe: Connection) -> dict[str, Any]:
    ports = pipe.recv()
    port = free_port()
    config = folder / "qantara.yaml"
    listed = ", ".join(f"'127.0.0.1:{each}'" for each in ports)
    config.write_text(
        f"listeners: [{{bind: '127.0.0.1:{port}'}}]\nworkers: {options.workers}\naccess_log: null\n"
        f"limits: {{requests_per_connection: 2000000000}}\n"
        f"upstreams: {{app: {{backends: [{listed}], health: {{type: tcp}}}}}}\nroutes: [{{upstream: app}}]\n"
    )
    command = [sys.executable, "-m", "proxy", "run", "-c", str(config), "--run-dir", str(folder)]
    proxy = subprocess.Popen(command, stderr=subprocess.PIPE)
    assert proxy.stderr is not None
    while b"workers" not in proxy.stderr.readline().rpartition(b"supervisor")[2]:
        if proxy.poll() is not None:
            raise SystemExit("the proxy does not start")
    rate = options.requests / options.seconds
    generator = subprocess.Popen(
        [openloop(), str(port), str(rate), "64", "2", str(options.seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert generator.stdin is not None
    generator.stdin.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    generator.stdin.close()
    killed = kill_some(options, ports, pipe, generator)
    assert generator.stdout is not None
    load = json.loads(generator.stdout.read())
    proxy.send_signal(signal.SIGTERM)
    log = proxy.stderr.read().decode()
    proxy.wait(60)
    failed = load["errors"] + load["unanswered"]
    return {
        "backends": options.backends,
        "killed": killed,
        "requests": load["due"],
        "requests/s": round(rate),
        "failed": failed,
        "success": round(1 - failed / load["due"], 7),
        "p99, ms": round(load["p99_us"] / 1e3, 2),
        "slowest, ms": round(load["max_us"] / 1e3, 1),
        "log": log[-500:] if failed else "",
        "passed": failed <= (1 - MARK) * load["due"],
    }


def kill_some(
    options: argparse.Namespace, ports: list[int], pipe: Connection, generator: subprocess.Popen[bytes]
) -> int:
    """Kill some every few seconds until the load ends. Returns how many were killed."""
    rng = random.Random(options.seed)
    end = time.monotonic() + options.seconds
    killed = 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("seconds", total=options.seconds)
        while time.monotonic() < end and generator.poll() is None:
            time.sleep(min(options.every, max(0.0, end - time.monotonic())))
            progress.advance(task, options.every)
            if time.monotonic() < end - 1:
                pipe.send(rng.sample(range(len(ports)), options.kill))
                killed += options.kill
    return killed


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.backends", description=__doc__)
    made.add_argument("--backends", type=int, default=3)
    made.add_argument("--kill", type=int, default=1, help="how many at a time")
    made.add_argument("--every", type=float, default=5.0, help="seconds")
    made.add_argument("--seconds", type=float, default=30.0)
    made.add_argument("--requests", type=int, default=100_000)
    made.add_argument("--workers", type=int, default=1)
    made.add_argument("--seed", type=int, default=1)
    made.add_argument("--json", type=Path)
    options = made.parse_args()
    raise_open_files(20_000)
    ours, theirs = multiprocessing.Pipe()
    origin = multiprocessing.get_context("spawn").Process(target=serve, args=(options.backends, theirs), daemon=True)
    origin.start()
    with tempfile.TemporaryDirectory(prefix="rel-") as folder:
        result = run(options, Path(folder), ours)
    if origin.pid is not None:
        os.kill(origin.pid, signal.SIGKILL)
    table = Table(title=f"backends die: {'passed' if result['passed'] else 'FAILED'}")
    table.add_column("measure")
    table.add_column("value", justify="right")
    for name, value in result.items():
        if name != "passed" and value != "":
            table.add_row(name, str(value))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
