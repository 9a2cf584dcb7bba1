"""The interface between chaos experiments and the rest of the proxy.

Law of this file: interfaces and plain data. Times are seconds of CLOCK_MONOTONIC unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from ...features.chaos import Rule, Tally


class Sample(NamedTuple):
    """What the proxy has done so far, over all workers. All numbers but `in_flight` only grow."""

    at: float
    requests: int
    errors: int
    """Responses with a status of 500 and above, and those that broke off, those that chaos has made included: it is
    what clients see."""
    gone: int
    """Requests whose clients left before they had their whole response."""
    in_flight: int
    """Requests that were not over when the sample was taken."""
    seconds: tuple[int, ...]
    """The cells of a histogram of whole requests (metrics.Histogram)."""


class Member(NamedTuple):
    """A backend as it is now."""

    address: str
    healthy: bool
    """It may get requests: in rotation, found well, not ejected."""


class UpstreamState(NamedTuple):
    members: tuple[Member, ...]
    panicking: bool = False


class ExperimentClock(Protocol):
    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""

    def now(self) -> datetime:
        """The time of day, with its zone."""


class ChaosTarget(Protocol):
    """What experiments can do to a running proxy."""

    def sample(self) -> Sample:
        """The numbers as they are now."""

    def upstreams(self) -> Mapping[str, UpstreamState]:
        """All upstreams by name, with the backends that they have now."""

    def workers(self) -> Sequence[int]:
        """The slots of the workers that serve."""

    async def set_rules(self, rules: Sequence[Rule]) -> None:
        """Have all workers follow these rules, and no others any more: also those that are started later. What older
        rules hold back is let go at once (Injector.stop). Raises QantaraError if a worker does not."""

    async def tallies(self) -> Mapping[str, Tally]:
        """How often each rule has struck, summed over all workers."""

    async def kill_worker(self, slot: int) -> None:
        """End a worker with SIGKILL."""

    async def set_backend_state(self, upstream: str, address: str, state: str) -> None:
        """Have a backend be `ready` or `drain`, as an operator would."""

    async def lie(self, upstream: str, address: str, healthy: bool | None, until: float) -> None:
        """Set the result of a backend's active health checks until that time; None: their own result."""
