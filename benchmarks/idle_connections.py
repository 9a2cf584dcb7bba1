"""What an idle keep-alive connection costs: `python -m benchmarks.idle_connections --peers qantara,nginx`.

Opens many connections, one answered request on each, and reports by how much the memory of the proxy's
processes grew, per connection. Law of this file: every connection must have been answered with 200 and must
still be open when memory is read. Socket buffers, which are the kernel's, are not counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .loads import BROWSER
from .measure import Bench, started
from .origin import serve
from .peers import PEERS, Peer
from .processes import NotReady, memory, raise_open_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# One pair of addresses has about 28,000 ephemeral ports; further sources are 127.0.0.3 and so on.
PER_SOURCE = 20_000
SPARE_FILES = 2_000
PIPED_WIDTH = 120


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    # Twice: a proxy may count on one connection to a backend for each one to a client.
    if raise_open_files(2 * options.connections + SPARE_FILES) < options.connections + SPARE_FILES:
        raise SystemExit("the limit of open files (ulimit -n) is too low for that many connections")
    costs, failures = {}, {}
    with tempfile.TemporaryDirectory(prefix="bench-") as name, serve(Path(name) / "origin", 1) as origin:
        bench = Bench(origin, Path(name), peer_core=0, load_core=1, seconds=0, rounds=0)
        for peer in options.peers.split(","):
            try:
                costs[peer] = measure(bench, PEERS[peer], options.connections)
            except (NotReady, OSError) as error:
                failures[peer] = str(error)
    show(costs, failures, options.connections)
    if options.json:
        options.json.write_text(json.dumps({"connections": options.connections, "bytes": costs}, indent=1) + "\n")
    return 1 if failures else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.idle_connections", description=__doc__)
    made.add_argument("--peers", default="qantara,nginx", help=f"comma-separated, of {', '.join(PEERS)}")
    made.add_argument("--connections", type=int, default=10_000)
    made.add_argument("--json", type=Path)
    return made


def measure(bench: Bench, peer: Peer, count: int) -> dict[str, float]:
    """Return the growth per connection of the resident and the proportional set, in bytes."""
    with started(bench, peer) as one:
        # The first few connections allocate what any number of them share; they belong to the start.
        with contextlib.closing(Connections()) as first:
            first.open(one.port, 100)
        resident, proportional = memory(one.pid)
        with contextlib.closing(Connections()) as idle:
            idle.open(one.port, count)
            resident_after, proportional_after = memory(one.pid)
            idle.check_open()
    return {
        "before": float(resident),
        "after": float(resident_after),
        "rss": (resident_after - resident) / count,
        "pss": (proportional_after - proportional) / count,
    }


class Connections:
    """Client sockets, each of which has had one answer and stays open."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def open(self, port: int, count: int) -> None:
        """Raises OSError if a connection is refused, or not answered with 200."""
        fields = "".join(f"{name}: {value}\r\n" for name, value in BROWSER.items())
        request = f"GET /json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n".encode()
        for source in sources(count):
            self.sockets.append(ask(source, port, request))

    def check_open(self) -> None:
        """Raises OSError if the proxy has closed or written to a connection in the meantime."""
        poller = select.poll()
        for each in self.sockets:
            poller.register(each, select.POLLIN)
        if events := poller.poll(0):
            raise OSError(f"{len(events)} of {len(self.sockets)} connections did not stay idle")

    def close(self) -> None:
        for each in self.sockets:
            each.close()


def sources(count: int) -> Iterator[str]:
    return (f"127.0.0.{2 + index // PER_SOURCE}" for index in range(count))


def ask(source: str, port: int, request: bytes) -> socket.socket:
    """Connect from a source address, ask once and read the whole answer."""
    made = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))
    made.sendall(request)
    answer = bytearray()
    while not complete(answer):
        data = made.recv(65536)
        if not data:
            raise OSError("a connection was closed before it was answered")
        answer += data
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise OSError(f"a connection was answered with {answer[:40]!r}")
    return made


def complete(answer: bytearray) -> bool:
    """Return whether a response has come whole: by its Content-Length, or by the last chunk."""
    head, gap, body = bytes(answer).partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return bool(gap) and len(body) >= int(line.split(b":")[1])
    return bool(gap) and body.endswith(b"0\r\n\r\n")


def show(costs: dict[str, dict[str, float]], failures: dict[str, str], count: int) -> None:
    made = Table("peer", title=f"{count:,} idle keep-alive connections", title_justify="left")
    for title in ("RSS before, MiB", "RSS after, MiB", "RSS KiB / connection", "PSS KiB / connection"):
        made.add_column(title, justify="right")
    for peer, cost in costs.items():
        sizes = [f"{cost[key] / 2**20:.1f}" for key in ("before", "after")]
        made.add_row(peer, *sizes, *(f"{cost[key] / 1024:.2f}" for key in ("rss", "pss")))
    for peer in failures:
        made.add_row(peer, *["failed"] * 4)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    console.print(made)
    for peer, text in failures.items():
        console.print(f"{peer}: {text}", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
