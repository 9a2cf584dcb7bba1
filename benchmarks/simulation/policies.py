"""What is compared: the algorithms of proxy.balancing with their parameters, and two that are only for comparison.

Law of this file: a row names the reports that its policy needs, so that none gets more than it asks for. Rows of
algorithms that are not in the table of proxy.balancing are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

from proxy.balancing import ALGORITHMS, create
from proxy.balancing.base import Balancer, Done
from proxy.balancing.structures.probe_pool import PooledProbe, ProbePool, ProbeSchedule
from proxy.balancing.structures.sampling import Urn, dice
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport

from .server import Server
from .world import Build

WITHOUT_CHANCE = ("round_robin", "weighted_round_robin")
"""Algorithms that take no seed."""


class Policy(NamedTuple):
    """One row."""

    build: Build
    says: frozenset[str] = frozenset()
    """What backends report: "load" (in flight, CPU and so on), "cost" of the request, "latency" as Prequal wants it."""
    shown: bool = True
    """Whether it is run when no policies are asked for."""


class Oracle(Balancer):
    """Knows what nobody can know: how many requests everybody has at each backend, and its capacity at this moment."""

    name = "oracle"

    def __init__(self, servers: Sequence[Server], seed: int) -> None:
        self.servers = list(servers)
        self.dice = Random(seed)

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.backends = usable

    def pick(self, key: bytes | None) -> Backend | None:
        best, least = 0, 1e9
        start = int(self.dice.random() * len(self.servers))
        for server in self.servers[start:] + self.servers[:start]:
            if server.answers_in:
                continue
            full = (server.in_flight + 1) / server.cap
            score = ((full if full > 1.0 else 1.0) + 0.1 * full) / server.speed
            if score < least:
                best, least = server.number, score
        return self.backends[best]


class C3(Balancer):
    """C3 (Suresh, Canini, Schmid and Feldmann, NSDI 2015), its ranking without its rate control, over a pool of probes.

    A backend's queue counts to the third power, over how fast it serves: q^3 / mu, with q = 1 + own + reported.
    """

    name = "c3"

    def __init__(self, seed: int, probes: float = 3.0) -> None:
        self.urn = Urn(dice(seed))
        self.pool = ProbePool(16, 1.0)
        self.asking = ProbeSchedule(probes, self.urn, self.urn.dice)
        self.prober: Callable[[Backend], None] | None = None
        self.serves: dict[Backend, float] = {}
        """Seconds per request: EWMA of the latency over the requests in flight."""
        self.now = 0.0

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self.urn.fill(usable)
        self.serves = dict.fromkeys(usable, 0.05)

    def pick(self, key: bytes | None) -> Backend | None:
        self.pool.expire(self.now)
        if self.pool.count < 2:
            return self.urn.members[self.urn.draw()]
        probes = self.pool.probes[: self.pool.count]
        best = min(range(len(probes)), key=lambda at: self.rank(probes[at]))
        backend = probes[best].backend
        self.pool.used(best, True)
        return backend

    def rank(self, probe: PooledProbe) -> float:
        backend = probe.backend
        assert backend is not None
        serves = self.serves[backend]
        return probe.latency - serves + (1 + backend.load() + probe.in_flight) ** 3 * serves

    def assigned(self, backend: Backend) -> None:
        if self.prober is not None:
            self.asking.ask(self.prober)

    def released(self, backend: Backend, done: Done) -> None:
        self.serves[backend] += 0.3 * (done.seconds / done.in_flight - self.serves[backend])
        if done.report is not None:
            self.reported(backend, done.report, done.now)

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        self.now = now
        self.pool.put(backend, None, report.in_flight, report.latency, now, 1.0)


def product(name: str, says: str = "", shown: bool = True, **params: object) -> Policy:
    """An algorithm of the table in proxy/balancing/__init__.py."""
    chance = {} if name in WITHOUT_CHANCE else {"seed": 0}

    def build(servers: Sequence[Server], seed: int) -> Balancer:
        return create(name, **params, **dict.fromkeys(chance, seed))

    return Policy(build, frozenset(says.split()), shown)


def rows(probes: float = 3.0) -> dict[str, Policy]:
    """All rows by name."""
    load, cost = "load", "load cost"
    table = {
        "oracle": Policy(Oracle),
        "ai_scored local": product("ai_scored", cost, mode="local"),
        "ai_scored fleet": product("ai_scored", cost, mode="fleet", probes=probes),
        "ai_scored auto": product("ai_scored", cost, probes=probes),
        "ai_scored no cost": product("ai_scored", load, probes=probes),
        "ai_scored no reports": product("ai_scored"),
        "prequal q=0.3": product("prequal", "load latency", q_rif=0.3, probes=probes),
        "prequal q=0.6": product("prequal", "load latency", q_rif=0.6, probes=probes),
        "prequal q=0.84": product("prequal", "load latency", q_rif=0.84, probes=probes),
        "c3": Policy(lambda servers, seed: C3(seed, probes), frozenset(("load", "latency"))),
        "latency d=8": product("latency"),
        "latency d=2": product("latency", choices=2),
        "least_time": product("least_time"),
        "least_connections": product("least_connections"),
        "power_of_two": product("power_of_two"),
        "orca_weighted": product("orca_weighted", load),
        "round_robin": product("round_robin"),
        "random": product("random", shown=False),
    }
    return {name: row for name, row in table.items() if name in ("oracle", "c3") or name.split()[0] in ALGORITHMS}
