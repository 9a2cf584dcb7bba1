"""A simulated proxy: its own view of the backends, and a real algorithm of proxy.balancing that picks among them.

Law of this file: the algorithm learns what it would learn in service and nothing else: that a request was given to a
backend, how and when it ended, what the backend reported of itself, and ten times per second what time it is.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from proxy.balancing.base import ANSWERED, FAILED, Balancer, Done
from proxy.scoreboard import IN_FLIGHT, ROW
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.load.report import LoadReport

from .server import Request, Server

if TYPE_CHECKING:
    from .reports import Reporter

FLYING = ROW + IN_FLIGHT
"""Where a backend without a scoreboard counts the requests in flight."""


class Proxy:
    """One of the proxies."""

    def __init__(self, servers: Sequence[Server], balancer: Balancer, reporter: Reporter) -> None:
        self.servers = servers
        self.balancer = balancer
        self.reporter = reporter
        self.cells = [array("q", bytes(8 * 2 * ROW)) for _ in servers]
        self.backends = [Backend(BackendSpec(f"b{n}", "127.0.0.1", n, ""), cells) for n, cells in enumerate(self.cells)]
        self.place = {backend: n for n, backend in enumerate(self.backends)}
        self.done = Done()
        self.asked: list[int] = []
        """Backends that the algorithm wants to hear from."""
        self.picks = [0] * len(servers)
        if reporter.says and hasattr(balancer, "prober"):
            balancer.prober = self.ask
        balancer.members(self.backends, self.backends, self.backends)

    def send(self, now: float, request: Request) -> None:
        """A request comes in."""
        balancer = self.balancer
        backend = balancer.pick(None)
        assert backend is not None
        place = self.place[backend]
        cells = self.cells[place]
        cells[FLYING] = request.beside = cells[FLYING] + 1
        request.place = place
        self.picks[place] += 1
        balancer.assigned(backend)
        if self.asked:
            self.probe(now)
        self.servers[place].take(now, request)

    def over(self, now: float, request: Request, good: bool) -> None:
        """A request has been answered, or has failed."""
        place = request.place
        self.cells[place][FLYING] -= 1
        done = self.done
        done.seconds = now - request.arrived
        done.outcome = ANSWERED if good else FAILED
        done.now = now
        done.in_flight = request.beside
        done.report = self.reporter.with_response(self.servers[place], request.work) if good else None
        self.balancer.released(self.backends[place], done)

    def ask(self, backend: Backend) -> None:
        self.asked.append(self.place[backend])

    def probe(self, now: float) -> None:
        """Ask the backends that the algorithm wants to hear from."""
        places, self.asked = self.asked, []
        for place in places:
            self.reporter.ask(now, self.servers[place], self.told, place)

    def told(self, now: float, answer: tuple[int, LoadReport]) -> None:
        """The answer to a probe."""
        place, report = answer
        self.balancer.reported(self.backends[place], report, now)

    def tick(self, now: float) -> None:
        self.balancer.tick(now)
        if self.asked:
            self.probe(now)

    def explain(self) -> dict[str, Any]:
        return self.balancer.explain()
