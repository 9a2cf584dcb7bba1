"""An algorithm by itself, without a server: backends from addresses and weights, requests that are picked for and end.

Law of this file: it does for an algorithm what the pipeline does, in the same order: count a request in flight, then
`assigned`; count it out, then `released`; a tick every tenth of a second by the clock. The clock is an argument: with a
simulated one a run takes no longer than its computation, and is the same each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from ..scoreboard import IN_FLIGHT, REQUESTS
from ..upstream.backend import Backend, BackendSpec
from ..upstream.load.report import LoadReport
from . import create
from .base import ANSWERED, CANCELLED, FAILED, Balancer, Done
from .wrappers.former_hooks import with_present_hooks

TICK = 0.1
"""Seconds between two ticks of an algorithm."""


class StandaloneRequest:
    """A request in flight at `backend`, until its end is reported by one of the methods."""

    __slots__ = ("backend", "beside", "over", "picked", "picker")

    def __init__(self, picker: StandalonePicker, backend: Backend, picked: float) -> None:
        self.picker = picker
        self.backend = backend
        self.picked = picked
        """Time of the pick (seconds by the picker's clock)."""
        self.beside = backend.load()
        self.over = False

    def answered(self, seconds: float | None = None, report: LoadReport | None = None) -> None:
        """There was a response after `seconds`, by default the time since the pick. `report`: the load report in it."""
        self._end(ANSWERED, seconds, report)

    def failed(self, seconds: float | None = None, report: LoadReport | None = None) -> None:
        """There was no response, or one with a status of 500 and above."""
        self._end(FAILED, seconds, report)

    def cancelled(self) -> None:
        """It was cancelled for a reason outside of the backend."""
        self._end(CANCELLED, None, None)

    def _end(self, outcome: int, seconds: float | None, report: LoadReport | None) -> None:
        if self.over:
            raise ValueError(f"the request at {self.backend.name} is over already")
        self.over = True
        self.picker.ended(self, outcome, seconds, report)


class StandalonePicker:
    """Picks for requests by an algorithm: the name of one, `module:Class`, or an instance.

    `backends` are addresses, with weights or without: `{"10.0.0.1:80": 5, "10.0.0.2:80": 1}`, or a list; or `Backend`
    objects. Further keyword arguments go to the algorithm. Raises ValueError in words for people.
    """

    def __init__(
        self,
        algorithm: str | Balancer,
        backends: Mapping[str, int] | Iterable[str | Backend],
        *,
        clock: Callable[[], float] = monotonic,
        **params: Any,
    ) -> None:
        self.balancer = create(algorithm, **params) if isinstance(algorithm, str) else with_present_hooks(algorithm)
        self.clock = clock
        self.due = clock() + TICK
        """Time of the next tick."""
        self.backends: dict[str, Backend] = {}
        self.done = Done()
        self.set_backends(backends)

    def set_backends(self, backends: Mapping[str, int] | Iterable[str | Backend]) -> None:
        """Set the backends. Those whose address stays keep their state."""
        weights = backends if isinstance(backends, Mapping) else {}
        given = list(backends)
        wanted = {each: checked_weight(each, weights.get(each, 1)) for each in given if isinstance(each, str)}
        old, self.backends = self.backends, {}
        for each in given:
            if isinstance(each, Backend):
                self.backends[each.name] = each
                continue
            self.backends[each] = old.get(each) or backend_at(each)
            weigh(self.backends[each], wanted[each])
        self.rebuild()

    def set_weight(self, address: str, weight: int) -> None:
        """A backend has another weight from now on; 0 for no requests."""
        weigh(self.backends[address], checked_weight(address, weight))
        self.rebuild()

    def rebuild(self) -> None:
        """Call `members` of the algorithm with the current backends."""
        members = list(self.backends.values())
        type(self.balancer).members(self.balancer, members, members, members)

    def pick(self, key: bytes | None = None) -> StandaloneRequest | None:
        """A request at the backend of the algorithm's pick; None without one."""
        now = self.clock()
        if now >= self.due:
            self.tick(now)
        backend = self.balancer.pick(key)
        if backend is None:
            return None
        backend.rows[backend.own + REQUESTS] += 1
        backend.rows[backend.own + IN_FLIGHT] += 1
        self.balancer.assigned(backend)
        return StandaloneRequest(self, backend, now)

    def ended(self, request: StandaloneRequest, outcome: int, seconds: float | None, report: LoadReport | None) -> None:
        """A request is over; called by the request."""
        now, backend, done = self.clock(), request.backend, self.done
        backend.rows[backend.own + IN_FLIGHT] -= 1
        done.seconds = now - request.picked if seconds is None else seconds
        done.outcome, done.now, done.in_flight, done.report = outcome, now, request.beside, report
        if report is not None:
            self.balancer.reported(backend, report, now)
        self.balancer.released(backend, done)

    def tick(self, now: float) -> None:
        """Call `tick` of the algorithm; `pick` does so every TICK."""
        self.balancer.tick(now)
        self.due = now + TICK

    def explain(self) -> dict[str, Any]:
        """The state of the algorithm and the reasons of its picks."""
        return self.balancer.explain()


def checked_weight(address: str, weight: int) -> int:
    """The weight. Raises ValueError if it is out of range."""
    if not 0 <= weight <= 256:
        raise ValueError(f"the weight of {address} must be from 0 to 256, not {weight}")
    return weight


def weigh(backend: Backend, weight: int) -> None:
    """Set the weight of a backend as the configuration does."""
    backend.spec = backend.spec._replace(weight=weight)
    backend.weight = weight


def backend_at(address: str) -> Backend:
    """A backend that nothing connects to."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        return Backend(BackendSpec(address, address, 0, ""))
    return Backend(BackendSpec(address, host, int(port), ""))
