"""The contract of a balancing algorithm.

Law of this file: events keep the structure ready, a pick only reads it. `members` and `tick` may be slow; `pick`,
`assigned`, `released` and `reported` run on every request and neither allocate much, log, nor look at every backend. An
algorithm never reads the clock: the times of events are its only times, so a simulation is as good as service. (The
time guard of a user's algorithm, wrappers/time_guard.py, is no algorithm, and its clock stays outside.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport

ANSWERED, FAILED, CANCELLED = range(3)
"""Outcomes of a request at a backend: a response with a status below 500; no response, or a status of 500 and above;
cancelled for a reason outside of the backend (the client closed, a hedge was faster)."""


class Done:
    """The end of a request at a backend. One object serves all requests of a worker: copy what is needed."""

    def __init__(
        self,
        seconds: float = 0.0,
        outcome: int = ANSWERED,
        now: float = 0.0,
        in_flight: int = 1,
        report: LoadReport | None = None,
    ) -> None:
        self.seconds = seconds
        """From the pick to the response head; without one, to the end."""
        self.outcome = outcome
        """ANSWERED, FAILED or CANCELLED."""
        self.now = now
        """When (seconds, monotonic)."""
        self.in_flight = in_flight
        """Requests in flight at the backend when this one was picked, this one included."""
        self.report = report
        """The load report in the head of this response; None without one, without `wants_reports`, or if the rest of
        the response took longer than `load_reports.max_age`. Its `in_flight` does not count this request."""


class Balancer:
    """Chooses a backend for each request. Subclass it, and name the class in YAML as `module:Class`.

    Class attributes: `name` is the word in YAML. `needs_key`: `pick` gets a key, and the configuration has to say where
    the key comes from. `needs_location`: the key begins with the location of the client: its name, empty if it is
    unknown, and after a line feed the rest of the key if there is one. `wants_reports`: it goes by load reports of
    backends.
    An instance is made with the further parameters of the `balance` mapping as keyword arguments, and belongs to one
    upstream in one worker. Most algorithms need `members` and `pick` alone.
    """

    name = ""
    needs_key = False
    needs_location = False
    wants_reports = False

    scope: str | None
    """The name of the members if they are a part of an upstream; None if they are all of it. It is in the key of what
    is kept of a backend by place, where several balancers have the same backends."""

    prober: Callable[[Backend], None] | None
    """Requests a report of a backend, which arrives in `reported` or not at all; None if `load_reports.probe` is not
    set, and before the first `members`. It returns at once, and sends nothing while too many probes are under way."""

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        """The members or their weights have changed; called before the first `pick`.

        `listed`: all members, drained ones included; `in_rotation`: those of them that are not drained, healthy or
        not; `usable`: those of them that may be picked (healthy ones; all of them in panic). Most need `usable` alone.
        It is called by its class, so that an instance may have a field named `members`.
        """

    def pick(self, key: bytes | None) -> Backend | None:
        """The backend for the next request, None if there is none. `key` is None unless `needs_key` or
        `needs_location`."""

    def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        """The backends that a request with this key may go to, in groups, the best first; None for all usable members
        alike. A retry, or a request whose backend is full, goes to the first group that has a backend for it. Not
        called on the path of every request."""
        return None

    def assigned(self, backend: Backend) -> None:
        """A request goes to `backend`; `released` follows when it is over. The backend may be another one than `pick`
        has named, and need not be a member: a session stays at a backend that is drained."""

    def released(self, backend: Backend, done: Done) -> None:
        """A request at `backend` is over."""

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        """A load report of a backend in an answer to a probe, or before a tunnel (`now`: seconds, monotonic). Reports
        in other responses come with `released`."""

    def tick(self, now: float) -> None:
        """Called about ten times per second, off the path of requests (`now`: seconds, monotonic)."""

    def explain(self) -> dict[str, Any]:
        """The state and the reasons of picks, for people: `backends`, by name, and `picks`, the latest. Times in
        seconds. Called on demand."""
        return {}

    # --- former names of hooks, for one release: for `super().rebuild(...)` in an algorithm of that time ---

    former_listed: Sequence[Backend] | None
    former_in_rotation: Sequence[Backend] | None

    def roster(self, members: Sequence[Backend]) -> None:
        self.former_listed = members

    def census(self, members: Sequence[Backend]) -> None:
        self.former_in_rotation = members

    def rebuild(self, members: Sequence[Backend]) -> None:
        listed, in_rotation = self.former_listed, self.former_in_rotation
        in_rotation = members if in_rotation is None else in_rotation
        type(self).members(self, in_rotation if listed is None else listed, in_rotation, members)

    def took(self, backend: Backend) -> None:
        type(self).assigned(self, backend)

    def dropped(self, backend: Backend, done: Done) -> None:
        type(self).released(self, backend, done)

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        return type(self).candidates(self, key)


if not hasattr(Balancer, "prober"):  # interpreted: defaults such as compiled fields have, whatever __init__ does
    Balancer.prober = None
    Balancer.scope = None
    Balancer.former_listed = Balancer.former_in_rotation = None
