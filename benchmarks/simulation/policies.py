"""What is compared: the algorithms of proxy.balancing with their parameters, and a few that are only for comparison.

Law of this file: a row of the table names the reports that its policy needs, so that none gets more than it asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from proxy.balancing import create
from proxy.balancing.base import Balancer
from proxy.upstream.backend import Backend

from .server import Server
from .world import Build


class Policy(NamedTuple):
    """One row."""

    build: Build
    says: frozenset[str] = frozenset()
    """What the backends report: "load" (in flight, CPU and so on), "cost" of the request, "latency" as Prequal wants
    it, "capacity" that the backend has learned itself."""


class Oracle(Balancer):
    """Knows what nobody can know: how many requests all proxies have at each backend, and its capacity at this moment."""

    name = "oracle"

    def __init__(self, servers: Sequence[Server], seed: int) -> None:
        self.servers = servers
        self.dice = Random(seed)

    def rebuild(self, members: Sequence[Backend]) -> None:
        self.members = members

    def pick(self, key: bytes | None) -> Backend | None:
        best, least = 0, 1e9
        start = int(self.dice.random() * len(self.servers))
        for server in self.servers[start:] + self.servers[:start]:
            full = (server.in_flight + 1) / server.cap
            score = (full if full > 1.0 else 1.0 + 0.001 * full) / server.speed
            if server.answers_in:
                score = 1e9
            if score < least:
                best, least = server.number, score
        return self.members[best]


def product(name: str, says: str = "", **params: object) -> Policy:
    """An algorithm of the table in proxy/balancing/__init__.py."""
    return Policy(lambda servers, seed: create(name, seed=seed, **params), frozenset(says.split()))


POLICIES: dict[str, Policy] = {
    "oracle": Policy(Oracle),
    "round_robin": Policy(lambda servers, seed: create("round_robin")),
    "power_of_two": product("power_of_two"),
    "prequal q=0.3": product("prequal", "load latency", q_rif=0.3),
    "prequal q=0.6": product("prequal", "load latency", q_rif=0.6),
    "prequal q=0.84": product("prequal", "load latency"),
    "ai_scored local": product("ai_scored", "load cost", mode="local"),
    "ai_scored fleet": product("ai_scored", "load cost", mode="fleet"),
    "ai_scored auto": product("ai_scored", "load cost"),
    "ai_scored no reports": product("ai_scored"),
}
