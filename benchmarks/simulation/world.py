"""One run: backends, proxies, requests, and what became of them. START HERE.

Law of this file: it knows neither scenarios nor policies by name; what is special about them is handed to it.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from proxy.balancing.base import Balancer

from .agenda import Agenda
from .arrivals import MEAN, Arrivals, Level, Work, normal
from .proxies import Proxy
from .reports import Faulty, Reporter
from .server import WINDOW, Request, Server

TICK = 0.1
"""Seconds between two ticks of the algorithms, and between two looks at the queues of the backends."""
DEADLINE = 5.0
"""Seconds after which a client gives up; it counts as an error, and as a latency of so much."""
PATIENCE_CHECKED = 0.01
"""How often deadlines are looked at (seconds)."""

Build = Callable[[Sequence[Server], int], Balancer]
"""Makes the algorithm of one proxy, from the backends (for an oracle) and a seed."""


class Setting(NamedTuple):
    """What is the same for all policies that are compared."""

    seed: int
    proxies: int = 1
    backends: int = 100
    level: Level = lambda now: 1.0
    work: Work = normal()
    mean: float = MEAN
    warm_up: float = 15.0
    seconds: float = 60.0
    probe_delay: float = 0.0
    faulty_reports: bool = False


class World:
    """A run of one policy in one setting."""

    def __init__(self, setting: Setting, build: Build, says: frozenset[str] = frozenset()) -> None:
        self.setting = setting
        self.agenda = Agenda()
        self.servers = [Server(self.agenda, n, self.over) for n in range(setting.backends)]
        for server in self.servers:
            server.tagging = "latency" in says
        self.reporter = (
            Faulty(self.agenda, setting.probe_delay, says, setting.seed)
            if setting.faulty_reports
            else Reporter(self.agenda, setting.probe_delay, says)
        )
        self.build = build
        self.proxies: list[Proxy] = []
        self.waiting: deque[Request] = deque()
        self.latencies = array("d")
        self.errors = self.deadlines = 0
        self.queues = array("i")
        self.usages = array("d")
        self.arrivals = Arrivals(
            setting.seed, setting.work, setting.mean, setting.level, float(setting.backends), setting.proxies
        )

    def run(self) -> None:
        """From the first request until the measured time is over."""
        setting, agenda = self.setting, self.agenda
        self.proxies = [
            Proxy(self.servers, self.build(self.servers, 1000 * setting.seed + n), self.reporter)
            for n in range(setting.proxies)
        ]
        for n, proxy in enumerate(self.proxies):  # ticks of many proxies do not fall together
            agenda.at(TICK * n / len(self.proxies), self.tick, proxy)
        agenda.every(PATIENCE_CHECKED, self.give_up)
        agenda.every(TICK, self.look)
        agenda.every(WINDOW, self.sum_up)
        agenda.at(*self.coming())
        agenda.run(setting.warm_up + setting.seconds)

    def coming(self, now: float = 0.0) -> tuple[float, Callable[[float, Request], None], Request]:
        time, work, proxy = self.arrivals.next(now)
        return time, self.arrive, Request(work, time, self.proxies[proxy])

    def arrive(self, now: float, request: Request) -> None:
        self.agenda.at(*self.coming(now))
        self.waiting.append(request)
        request.proxy.send(now, request)

    def over(self, now: float, request: Request, good: bool) -> None:
        request.proxy.over(now, request, good)
        if request.arrived < self.setting.warm_up:
            return
        if good:
            self.latencies.append(now - request.arrived)
        else:
            self.errors += 1

    def give_up(self, now: float) -> None:
        """The clients whose deadline has passed leave."""
        waiting = self.waiting
        while waiting and (waiting[0].gone or waiting[0].arrived <= now - DEADLINE):
            request = waiting.popleft()
            if not request.gone:
                self.servers[request.place].abort(now, request)
                self.over(now, request, False)
                if request.arrived >= self.setting.warm_up:
                    self.deadlines += 1

    def tick(self, now: float, proxy: Proxy) -> None:
        proxy.tick(now)
        self.agenda.at(now + TICK, self.tick, proxy)

    def look(self, now: float) -> None:
        if now >= self.setting.warm_up:
            self.queues.extend([server.in_flight for server in self.servers])

    def sum_up(self, now: float) -> None:
        for server in self.servers:
            server.sum_up(now)
        if now >= self.setting.warm_up:
            self.usages.extend([server.usage.cpu for server in self.servers])
