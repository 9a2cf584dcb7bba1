"""Active health: what a check is, and what a row of checks says. Pure; control/health_checks.py does the checking.

Law of this file: one check proves nothing, but for the first good one after the start. A backend goes down after `fall`
bad checks in a row and comes up after `rise` good ones (HAProxy's terms); while that is open it is checked more often.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..scoreboard import DRAIN, MAINT, READY


class HealthSpec(NamedTuple):
    """How the backends of an upstream are checked. Times in seconds."""

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
    """What a good body has in it."""
    interval: float = 2.0
    timeout: float = 1.0
    fall: int = 3
    rise: int = 2
    fast_interval: float = 0.5
    jitter: float = 0.2
    """The share by which each interval may be shorter or longer, so that checks do not fall into step."""
    initial_up: bool = True
    """What a backend is before its first check."""
    reported: bool = True
    """Whether what backends say of themselves counts."""
    service: str = ""
    """Which service is asked about, with grpc; "" for all."""


class Streak:
    """The checks of one backend in a row: whether it is up."""

    def __init__(self, spec: HealthSpec) -> None:
        self.up = spec.initial_up
        self.checked = False
        self.good = 0
        self.bad = 0

    def add(self, spec: HealthSpec, good: bool) -> bool:
        """Take in a check. True if the state has changed by it."""
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
        """Whether the state may be about to change: it is worth to look again soon."""
        return (self.up and self.bad > 0) or (not self.up and 0 < self.good < spec.rise)


class Report(NamedTuple):
    """What a backend says of itself: a state, and how much of its weight it wants (percent; None: all)."""

    state: int
    percent: int | None


WORDS = {
    **dict.fromkeys(("ready", "up"), READY),
    "drain": DRAIN,
    **dict.fromkeys(("maint", "down", "stopped", "fail", "failed"), MAINT),
}


def parse_report(text: str) -> Report | None:
    """`X-Backend-State`: "ready", "drain", "maint", "50%", or a state and a percentage. The words of HAProxy's agent
    check are understood too. None if it makes no sense."""
    state, percent = READY, None
    for word in re.split(r"[,\s]+", text.strip().lower()):
        if word in WORDS:
            state = WORDS[word]
        elif (match := re.fullmatch(r"(\d{1,3})%", word)) and int(match[1]) <= 256:
            percent = int(match[1])
        else:
            return None
    return Report(state, percent)
