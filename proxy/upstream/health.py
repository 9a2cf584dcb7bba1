"""Active health: the configuration of checks, and the state that follows from their results. The checks themselves are
in control/health_checks.py.

Law of this file: pure. A single check changes no state, except for the first good one after the start. A backend goes
down after `fall` failed checks in a row and comes up after `rise` good ones (HAProxy's terms); in between it is checked
at `fast_interval`.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..scoreboard import DRAIN, MAINT, READY


class HealthSpec(NamedTuple):
    """The check of the backends of an upstream. Times in seconds."""

    kind: str = "http"
    """http, tcp or grpc"""
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    port: int = 0
    """Another port than that of the backend; 0 for the same."""
    statuses: tuple[tuple[int, int], ...] = ((200, 399),)
    """Ranges of good statuses, both ends included."""
    body: re.Pattern[str] | None = None
    """A pattern that a good body contains."""
    interval: float = 2.0
    timeout: float = 1.0
    fall: int = 3
    rise: int = 2
    fast_interval: float = 0.5
    jitter: float = 0.2
    """The share by which an interval is shortened or lengthened at random, so that checks do not fall into step."""
    initial_up: bool = True
    """The state before the first check."""
    reported: bool = True
    """Whether X-Backend-State is honoured."""
    service: str = ""
    """The service of a gRPC check; "" for the whole server."""


class Streak:
    """The consecutive results of one backend, and whether it is up."""

    def __init__(self, spec: HealthSpec) -> None:
        self.up = spec.initial_up
        self.checked = False
        self.good = 0
        self.bad = 0

    def add(self, spec: HealthSpec, good: bool) -> bool:
        """Add a result. True if the state has changed."""
        before = self.up
        if good:
            self.good, self.bad = self.good + 1, 0
            self.up = self.up or self.good >= spec.rise or not self.checked
        else:
            self.good, self.bad = 0, self.bad + 1
            self.up = self.up and self.bad < spec.fall
        self.checked = True
        return self.up != before

    def open(self, spec: HealthSpec) -> bool:
        """Whether the last result contradicts the state: the next check follows after `fast_interval`."""
        return (self.up and self.bad > 0) or (not self.up and 0 < self.good < spec.rise)


class Report(NamedTuple):
    """The state that a backend reports, and the percentage of its weight (None: 100)."""

    state: int
    percent: int | None


WORDS = {
    **dict.fromkeys(("ready", "up"), READY),
    "drain": DRAIN,
    **dict.fromkeys(("maint", "down", "stopped", "fail", "failed"), MAINT),
}


def parse_report(text: str) -> Report | None:
    """Parse `X-Backend-State`: "ready", "drain", "maint", "50%", or a state and a percentage. The words of HAProxy's
    agent check are accepted too. None if it is malformed."""
    state, percent = READY, None
    for word in re.split(r"[,\s]+", text.strip().lower()):
        if word in WORDS:
            state = WORDS[word]
        elif (match := re.fullmatch(r"(\d{1,3})%", word)) and int(match[1]) <= 256:
            percent = int(match[1])
        else:
            return None
    return Report(state, percent)
