"""Passive health: a backend whose requests fail in a row is ejected for a while, each time for longer.

Law of this file: judging a failure compares the backend's own counts with thresholds. The rules of an ejection are in
outlier.py; an ejection lies on the scoreboard, so that it holds in all workers.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic, monotonic_ns

from ..scoreboard import EJECTED_FOR, EJECTED_UNTIL, EJECTIONS, Scoreboard
from .backend import Backend
from .members import Members
from .outlier import CONNECT, CONSECUTIVE_5XX, CONSECUTIVE_GATEWAY, OutlierSpec, ejection_seconds, may_eject


class PassiveHealth:
    """The failures of the members of one upstream, as one worker sees them. Without a `spec` none is ejected."""

    def __init__(self, members: Members, board: Scoreboard, refresh: Callable[[float], None]) -> None:
        self.spec: OutlierSpec | None = None
        self.members = members
        self.board = board
        self.refresh = refresh
        """Called with the time (seconds, monotonic) after an ejection."""

    def failed(self, backend: Backend, connect: bool, gateway: bool) -> None:
        """Count a failure: no connection (`connect`), no response (`gateway`), or a 5xx status, which is a `gateway`
        failure too if it is 502, 503 or 504."""
        spec = self.spec
        if connect:
            backend.connects_in_row += 1
        else:
            backend.errors_in_row += 1
            if gateway:
                backend.gateway_in_row += 1
        if spec is None:
            return
        if connect:
            if 0 < spec.connect_failures <= backend.connects_in_row:
                self.eject(backend, CONNECT)
        elif 0 < spec.consecutive_gateway <= backend.gateway_in_row:
            self.eject(backend, CONSECUTIVE_GATEWAY)
        elif 0 < spec.consecutive_5xx <= backend.errors_in_row:
            self.eject(backend, CONSECUTIVE_5XX)

    def eject(self, backend: Backend, cause: int) -> None:
        """Eject a backend, if the rules allow it."""
        spec = self.spec
        now_ns = monotonic_ns()
        if spec is None or not backend.healthy_at(now_ns) or not backend.in_rotation():
            return
        rotating = [member for member in self.members.all if member.in_rotation()]
        ejected = sum(member.ejected_until() > now_ns for member in rotating)
        available = sum(member.healthy_at(now_ns) for member in rotating)
        allowed = may_eject(spec, len(rotating), available, ejected, self.members.panic)
        if not (allowed or (cause == CONNECT and available > 1)):  # a backend that refuses connections serves nothing
            return
        # one earlier ejection is forgiven for each `base_ejection` without a new one
        calm = (now_ns - backend.ejected_until()) / 1e9
        times = max(0.0, backend.times_ejected - calm // spec.base_ejection) if backend.times_ejected else 0.0
        seconds = ejection_seconds(spec, cause, times)
        backend.times_ejected = times + 1.0
        backend.errors_in_row = backend.gateway_in_row = backend.connects_in_row = 0
        backend.rows[backend.own + EJECTED_UNTIL] = now_ns + int(seconds * 1e9)
        backend.rows[backend.own + EJECTED_FOR] = cause
        backend.count(EJECTIONS)
        self.board.changed(self.board.slot)
        self.refresh(monotonic())
