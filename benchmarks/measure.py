"""The measuring: start the peers, check them, load one at a time, round after round.

Law of this file: peers run on one core, load and origin on another; only one peer is loaded at any time;
the order of a round is A B C, and the next round begins with A again. A peer is checked before it is measured
(it must forward the right bytes) and after (the origin must have seen every request that was answered).
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .loads import WARM_UP_SECONDS, Load, LoadFailed, drive
from .origin import BODIES, Origin
from .processes import NotReady, core_busy_seconds, cpu_seconds, finished_cpu_seconds, free_port, running
from .results import Run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .peers import Peer

READY_SECONDS = 15.0
# The share of a core above which other work on the machine spoils a run.
DISTURBED = 0.10


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays the same over a whole benchmark."""

    origin: Origin
    folder: Path
    peer_core: int
    load_core: int
    seconds: int
    rounds: int
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class Started:
    peer: Peer
    port: int
    pid: int


@contextlib.contextmanager
def started(bench: Bench, peer: Peer) -> Iterator[Started]:
    """Run a peer until the block ends; it forwards when the block starts."""
    port = free_port()
    folder = bench.folder / f"{peer.name}-{port}"
    folder.mkdir()
    argv = peer.prepare(folder, port, bench.origin.port)
    env = {**peer.env, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with running(argv, bench.peer_core, ("127.0.0.1", port), folder / "log", env) as process:
        await_forwarding(port)
        yield Started(peer, port, process.pid)


STATUSES = {"/fixed": 200, "/moved": 301}
"""Paths that proxies answer themselves."""


def await_forwarding(port: int) -> None:
    """Ask until the proxy forwards; some accept connections before they know their backends."""
    deadline = time.monotonic() + READY_SECONDS
    while (problem := check(port, "/json", b"")) is not None:
        if time.monotonic() > deadline:
            raise NotReady(problem)


def check(port: int, path: str, upload: bytes) -> str | None:
    """Return what is wrong with one answer, or None if it is the origin's to the byte; what a proxy answers itself is
    told by its status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("POST" if upload else "GET", path, body=upload or None)
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{path}: {type(error).__name__} {error}"
    if response.status != STATUSES.get(path, 200):
        return f"{path}: status {response.status}"
    if path in STATUSES:
        return None
    return None if body == BODIES[path] else f"{path}: another body than the origin's ({len(body)} bytes)"


def rounds(bench: Bench, load: Load, peers: list[Peer], rate: float) -> Iterator[Run]:
    """Run one load on all peers, round by round; a peer that does not start fails once."""
    with contextlib.ExitStack() as stack:
        up: list[Started] = []
        for peer in peers:
            try:
                up.append(stack.enter_context(started(bench, peer)))
            except NotReady as error:
                yield Run(load.name, peer.name, 0, failure=f"did not start: {error}")
        for number in range(1, bench.rounds + 1):
            for one in up:
                yield run(bench, load, one, number, rate)


def run(bench: Bench, load: Load, one: Started, number: int, rate: float) -> Run:
    """Measure one peer once."""
    try:
        if problem := check(one.port, load.path, b"x" * load.upload):
            raise LoadFailed(problem)
        if number == 1:
            drive(load, one.port, WARM_UP_SECONDS, bench.load_core, rate)
        return calmest(bench, load, one, number, rate)
    except LoadFailed as error:
        return Run(load.name, one.peer.name, number, failure=str(error))


def calmest(bench: Bench, load: Load, one: Started, number: int, rate: float) -> Run:
    """Measure, again if other work took part of a core, and keep the least disturbed run, fast or slow."""
    tries = [observed(bench, load, one, number, rate)]
    while tries[-1].foreign > DISTURBED and len(tries) <= bench.repeats:
        tries.append(observed(bench, load, one, number, rate))
    return min(tries, key=lambda run: run.foreign)


def observed(bench: Bench, load: Load, one: Started, number: int, rate: float) -> Run:
    """Drive the load and read the clocks of the proxy, the cores and the origin on both sides of it."""
    before, begin = Clocks.read(bench, one.pid), time.monotonic()
    outcome = drive(load, one.port, bench.seconds, bench.load_core, rate)
    used, wall = Clocks.read(bench, one.pid).since(before), time.monotonic() - begin
    if load.path not in STATUSES and used.reached < outcome.requests:
        raise LoadFailed(f"the origin saw {used.reached} of {outcome.requests} requests")
    return Run(
        load.name,
        one.peer.name,
        number,
        **dataclasses.asdict(outcome),
        reached=used.reached or outcome.requests,
        cpu_seconds=used.peer,
        peer_core_busy=used.peer_core / wall,
        load_core_busy=used.load_core / wall,
        peer_core_foreign=max(0.0, (used.peer_core - used.peer) / wall),
        load_core_foreign=max(0.0, (used.load_core - used.loaders) / wall),
    )


@dataclass(frozen=True, slots=True)
class Clocks:
    """CPU seconds of the proxy, of generator with origin, of both cores; requests seen by the origin."""

    peer: float
    loaders: float
    peer_core: float
    load_core: float
    reached: int

    @classmethod
    def read(cls, bench: Bench, pid: int) -> Clocks:
        return cls(
            cpu_seconds(pid),
            cpu_seconds(bench.origin.pid) + finished_cpu_seconds(),
            core_busy_seconds(bench.peer_core),
            core_busy_seconds(bench.load_core),
            bench.origin.requests(),
        )

    def since(self, other: Clocks) -> Clocks:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Clocks(*(after - before for after, before in pairs))
