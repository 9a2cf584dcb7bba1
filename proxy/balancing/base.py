"""The contract of a balancing algorithm.

Law of this file: events keep the structure ready, a pick only reads it. `rebuild` and `tick` may be slow; `pick`,
`took`, `dropped` and `reported` run on every request and neither allocate much, log, nor look at every backend. An
algorithm never reads the clock: the times of the events are all that it knows, so a simulation is as good as service.
(What times a user's own, watched.py, is no algorithm, and tells it nothing.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..upstream.backend import Backend
from ..upstream.load.report import LoadReport

ANSWERED, FAILED, CANCELLED = range(3)
"""How a request at a backend may end: with a response; with none, or with a status of 500 and above; or given up for
reasons that say nothing about the backend (the client left, another backend was faster)."""


class Done:
    """How a request at a backend ended. One object serves all requests of a worker: take from it what you need."""

    def __init__(
        self,
        seconds: float = 0.0,
        outcome: int = ANSWERED,
        now: float = 0.0,
        in_flight: int = 1,
        report: LoadReport | None = None,
    ) -> None:
        self.seconds = seconds
        """From the pick to the response head; if there was none, to the end."""
        self.outcome = outcome
        """ANSWERED, FAILED or CANCELLED."""
        self.now = now
        """When (seconds, monotonic)."""
        self.in_flight = in_flight
        """Requests that the backend had when this one was picked, itself included."""
        self.report = report
        """What the backend said of its load in the head of this response; None if it said nothing, `wants_reports` is
        not set, or the rest of the response took so long that it is too old (`load_reports.max_age`). Its `in_flight`
        does not count this request."""


class Balancer:
    """Chooses a backend for a request. Subclass it, and name the class in YAML as `module:Class`.

    Class attributes: `name` is the word used in YAML. `needs_key` says that `pick` wants a key; the configuration
    then has to say where the key comes from. `needs_location` says that the key begins with where the client is: the
    name of a location, empty if it is not known, and after a line feed the rest of the key if there is one.
    `wants_reports` says that it goes by what backends report of their load.
    An instance is made with the further parameters of the `balance` mapping as keyword arguments, and belongs to one
    upstream in one worker.
    """

    name = ""
    needs_key = False
    needs_location = False
    wants_reports = False

    scope: str | None
    """What the members are called if they are only some of an upstream; None for all of them. Where several balancers
    know the same backends, what each keeps of them by place has this in its name."""

    prober: Callable[[Backend], None] | None
    """Asks a backend for a report, which comes by `reported`, or does not; None if `load_reports.probe` is not set, and
    before the first `rebuild`. It returns at once, and sends nothing if too many probes are under way."""

    def roster(self, members: Sequence[Backend]) -> None:
        """All members, drained ones too. Called before each `census`; hardly any needs it."""

    def census(self, members: Sequence[Backend]) -> None:
        """All members that are in rotation, healthy or not. Called before each `rebuild`; few need it."""

    def rebuild(self, members: Sequence[Backend]) -> None:
        """The usable members have changed, or their weights. Called before the first pick."""

    def pick(self, key: bytes | None) -> Backend | None:
        """The backend for the next request, None if there is none. `key` is None unless `needs_key` or
        `needs_location`."""

    def reach(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
        """Whom a request with this key may go to at all, best ones first, if that is not every usable member alike
        (None): a retry, or a request whose backend is full, goes to one of the first of these groups in which there is
        one for it. Few need it; not on the path of every request."""
        return None

    def took(self, backend: Backend) -> None:
        """A request was given to `backend`, and `dropped` will say that it is over. It need not be the one that `pick`
        has named, nor one of the members: a session may stay where it is."""

    def dropped(self, backend: Backend, done: Done) -> None:
        """A request at `backend` is over."""

    def reported(self, backend: Backend, report: LoadReport, now: float) -> None:
        """A backend has told of its load because it was asked, or before a tunnel (`now`: seconds, monotonic). What it
        says in other responses comes with `dropped`."""

    def tick(self, now: float) -> None:
        """Called about ten times per second, off the path of requests (`now`: seconds, monotonic)."""

    def explain(self) -> dict[str, Any]:
        """What it knows and why it picks as it does, for people: `backends`, by name, and `picks`, the latest.

        Times in seconds. Called when somebody asks.
        """
        return {}


if not hasattr(Balancer, "prober"):  # interpreted: defaults such as compiled fields have, whatever __init__ does
    Balancer.prober = None
    Balancer.scope = None
