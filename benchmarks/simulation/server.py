"""A simulated backend: processor sharing, as a machine with several cores and a process or thread per request does it.

With k requests and a capacity of `cap` cores each of them gets min(1, cap / k) of a core. All that it has run at the
same rate, so one clock does for all: virtual time goes at that rate, a request of so much work that comes at virtual
time v is through at v + work, and the next one through is the head of a heap. An event costs O(log k).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any

from .agenda import Agenda

Over = Callable[[float, "Request", bool], None]

WINDOW = 1.0
"""Seconds over which a backend sums up what it reports."""
REMEMBERED = 16
"""Latencies that it remembers for each number of requests in flight."""


class Request:
    """One request; `work` in seconds on a core that it has for itself."""

    __slots__ = ("arrived", "beside", "beside_all", "gone", "place", "proxy", "work")

    def __init__(self, work: float, arrived: float, proxy: Any) -> None:
        self.work = work
        self.arrived = arrived
        self.proxy = proxy
        self.place = 0
        """The number of the backend that has it."""
        self.beside = 0
        """Requests of its proxy at that backend when it came, itself included; then those of all proxies."""
        self.beside_all = 0
        self.gone = False


class Server:
    """One backend. `cap` cores are free for it now; `speed` is that of one of them."""

    def __init__(self, agenda: Agenda, number: int, over: Over) -> None:
        self.agenda = agenda
        self.number = number
        self.over = over
        self.cap = 1.0
        self.speed = 1.0
        self.answers_in = 0.0
        """If not 0, it fails every request after so many seconds without any work: a broken deployment."""
        self.in_flight = 0
        self.virtual = 0.0
        self.since = 0.0
        self.rate = 1.0
        self.due = inf
        """When the next request is through, as things are."""
        self.queue: list[tuple[float, int, Request]] = []
        self.numbers = count()
        self.worked = 0.0
        """Seconds of CPU so far."""
        self.served = self.failed = 0
        self.usage = Usage()
        self.latencies: dict[int, deque[float]] = {}
        """Recent latencies by the number of requests in flight at their arrival; kept if a policy asks for them."""
        self.tagging = False

    # --- requests ---

    def take(self, now: float, request: Request) -> None:
        if self.answers_in:
            self.in_flight += 1
            self.agenda.at(now + self.answers_in, self.fail, request)
            return
        self.progress(now)
        self.in_flight += 1
        request.beside_all = self.in_flight
        heappush(self.queue, (self.virtual + request.work, next(self.numbers), request))
        self.plan(now)

    def fail(self, now: float, request: Request) -> None:
        if not request.gone:
            request.gone = True
            self.in_flight -= 1
            self.failed += 1
            self.over(now, request, False)

    def abort(self, now: float, request: Request) -> None:
        """Whoever asked has left: the work for it ends too."""
        request.gone = True
        self.progress(now)
        self.in_flight -= 1
        self.plan(now)

    def restart(self, now: float) -> None:
        """All that it had fails."""
        for _, _, request in self.queue:
            self.fail(now, request)
        self.progress(now)
        self.queue.clear()
        self.plan(now)

    def through(self, now: float, due: float) -> None:
        """A request is through, if nothing has come between since the event was put down."""
        if due != self.due:
            return
        self.progress(now)
        self.virtual, _, request = heappop(self.queue)  # exactly: sums of many floats drift
        request.gone = True
        self.in_flight -= 1
        self.served += 1
        self.plan(now)
        if self.tagging:
            recent = self.latencies.get(request.beside_all)
            if recent is None:
                recent = self.latencies[request.beside_all] = deque(maxlen=REMEMBERED)
            recent.append(now - request.arrived)
        self.over(now, request, True)

    def progress(self, now: float) -> None:
        """Bring the virtual clock up to now."""
        passed = (now - self.since) * self.rate
        self.virtual += passed
        self.worked += passed / self.speed * self.in_flight
        self.since = now

    def plan(self, now: float) -> None:
        """Requests or capacity have changed: put down when the next one will be through."""
        queue, busy, cap = self.queue, self.in_flight, self.cap
        self.rate = rate = self.speed if busy <= cap else self.speed * cap / busy
        while queue and queue[0][2].gone:
            heappop(queue)
        due = now + (queue[0][0] - self.virtual) / rate if queue else inf
        if due != self.due:
            self.due = due
            if queue:
                self.agenda.at(due, self.through, due)

    def set_capacity(self, now: float, cap: float) -> None:
        self.progress(now)
        self.cap = cap
        self.plan(now)

    # --- what it says of itself ---

    def sum_up(self, now: float) -> None:
        """Once per window: what has gone through since the last time."""
        self.progress(now)
        usage = self.usage
        usage.cpu, usage.rps, usage.eps = (
            (self.worked - usage.worked) / WINDOW,
            (self.served + self.failed - usage.served - usage.failed) / WINDOW,
            (self.failed - usage.failed) / WINDOW,
        )
        usage.worked, usage.served, usage.failed = self.worked, self.served, self.failed

    def latency(self) -> float:
        """The median of recent latencies of requests that came when about as many were in flight as now (seconds)."""
        if not self.latencies:
            return 0.0
        at = self.in_flight
        recent = self.latencies.get(at) or self.latencies[min(self.latencies, key=lambda tag: abs(tag - at))]
        return sorted(recent)[len(recent) // 2]


class Usage:
    """What a backend reports: cores in use, requests and errors per second, of the last window; and where it began."""

    def __init__(self) -> None:
        self.cpu = self.rps = self.eps = 0.0
        self.worked = 0.0
        self.served = self.failed = 0
