"""Chaos rules: their conditions, random draws and counters.

Law of this file: for the same seed the n-th matching request is decided the same way. A rule strikes no more than its
share, and expires by itself at a time of the machine's monotonic clock.
"""

from __future__ import annotations

import logging
from random import Random
from time import monotonic
from typing import NamedTuple

from ...errors import (
    ACCEPT_CHAOS,
    ADMIT_CHAOS,
    CONNECT_CHAOS,
    FINISH_CHAOS,
    LOOKUP_CHAOS,
    PICK_CHAOS,
    RELAY_CHAOS,
    ROUTE_CHAOS,
    SEND_CHAOS,
    STORE_CHAOS,
)
from ...exchange import Exchange
from ...routing import HeaderCondition

log = logging.getLogger("qantara")

REASONS = {
    reason.stage: reason
    for reason in (
        *(ACCEPT_CHAOS, ROUTE_CHAOS, ADMIT_CHAOS, LOOKUP_CHAOS, PICK_CHAOS),
        *(CONNECT_CHAOS, SEND_CHAOS, RELAY_CHAOS, STORE_CHAOS, FINISH_CHAOS),
    )
}
FORWARD = ("accept", "route", "admit", "lookup", "pick", "connect", "send")
"""Stages before which a fault is injected."""
ENDING = ("store", "finish")
"""Stages after the last byte of a response: their faults concern its end."""
AT_BACKEND = ("connect", "send", "relay", *ENDING)
"""Stages at which the backend is known, so that a rule can select backends."""

STAGES_OF: dict[str, tuple[str, ...]] = {
    "delay": (*FORWARD, "relay", *ENDING),
    "abort": (*FORWARD, "relay"),
    "reset": (*FORWARD, "relay", *ENDING),
    "black_hole": (*FORWARD, "relay", *ENDING),
    "connect_refused": ("connect",),
    "connect_delay": ("connect",),
    "bandwidth": ("relay",),
    "truncate": ("relay",),
    "corrupt_header": ("relay",),
    "slow_close": ("finish",),
}
"""The faults of the data path, and the stages of each; the first is the default."""

LOGGED_HITS = 10
"""Requests that a dry run logs one by one; all of them are counted."""


class Delay(NamedTuple):
    """The distribution of a delay. Seconds, but for `pareto`."""

    seconds: float = 0.1
    jitter: float = 0.0
    """The half-width of a uniform distribution around it."""
    pareto: float = 0.0
    """The shape of a Pareto distribution with the minimum `seconds`: the smaller, the longer its tail. 0: none."""
    most: float = 60.0

    def draw(self, dice: Random) -> float:
        """The delay of one request."""
        seconds = self.seconds
        if self.pareto:
            seconds *= dice.paretovariate(self.pareto)
        if self.jitter:
            seconds += dice.uniform(-self.jitter, self.jitter)
        return min(max(seconds, 0.0), self.most)


class Rule(NamedTuple):
    """One fault, and the conditions on requests. Empty sets and texts match everything."""

    id: str
    stage: str
    fault: str
    until: float
    """When it expires: seconds of CLOCK_MONOTONIC, which all processes of a machine share."""
    share: float = 1.0
    """The share of the matching requests that is struck, from 0 to 1."""
    cap: float = 1.0
    """The bound on struck requests as a share of all at this stage, matching or not; one is always allowed."""
    seed: int = 0
    dry_run: bool = False
    routes: frozenset[str] = frozenset()
    upstreams: frozenset[str] = frozenset()
    backends: frozenset[str] = frozenset()
    """Addresses, as configured."""
    methods: frozenset[bytes] = frozenset()
    prefix: bytes = b""
    """A prefix of the path."""
    headers: tuple[HeaderCondition, ...] = ()
    delay: Delay = Delay()
    status: int = 503
    """The status of `abort`."""
    rate: int = 1024
    """Bytes per second of a response body, for `bandwidth`."""
    size: int = 0
    """Bytes of a response body after which `truncate` cuts it, chunk framing included."""
    header: bytes = b""
    """The response header for `corrupt_header`, in lower case."""


class Tally(NamedTuple):
    """Requests that passed a rule, matched it, and were struck (in a dry run: would have been)."""

    seen: int
    matched: int
    struck: int


class ActiveRule:
    """An active rule in one worker."""

    def __init__(self, rule: Rule, salt: int) -> None:
        self.rule = rule
        self.reason = REASONS[rule.stage]
        self.off = False
        self.seen = self.matched = self.struck = 0
        self.dice = Random(f"{rule.seed} {salt}")
        self.draws = Random(f"{rule.seed} {salt} draws")
        """A generator of its own: the draws of delays do not change which request is struck next."""

    def concerns(self, route: str, upstream: str) -> bool:
        """Whether requests of a route to an upstream ("" for none) can match at all."""
        rule = self.rule
        return (not rule.routes or route in rule.routes) and (not rule.upstreams or upstream in rule.upstreams)

    def strikes(self, x: Exchange) -> bool:
        """Whether this request gets the fault."""
        rule = self.rule
        if self.off or self.left() <= 0.0:
            return False
        self.seen += 1
        if not self._matches(x):
            return False
        self.matched += 1
        if self.dice.random() >= rule.share or self.struck + 1 > max(1.0, rule.cap * self.seen):
            return False
        self.struck += 1
        if not rule.dry_run:
            return True
        if self.struck <= LOGGED_HITS:
            log.info("chaos %s (dry run): %s at %s for %r", rule.id, rule.fault, rule.stage, x.head.path)
        return False

    def _matches(self, x: Exchange) -> bool:
        rule, head = self.rule, x.head
        if rule.backends and x.attempt.backend_name not in rule.backends:
            return False
        if rule.methods and head.method not in rule.methods:
            return False
        if rule.prefix and not head.path.startswith(rule.prefix):
            return False
        for condition in rule.headers:
            if not condition.holds(head):
                return False
        return True

    def left(self) -> float:
        """Seconds until the rule expires."""
        return 0.0 if self.off else self.rule.until - monotonic()

    def seconds(self) -> float:
        """A delay in seconds, at most until the rule expires."""
        return max(0.0, min(self.rule.delay.draw(self.draws), self.left()))

    def tally(self) -> Tally:
        return Tally(self.seen, self.matched, self.struck)
