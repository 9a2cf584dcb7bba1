"""The messages between the supervisor and its workers.

Law of this file: plain data. A `CommandResult` has the id of its `Command`; all are sent through a `Channel`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..features.chaos import Rule
from ..upstream.backend import BackendSpec


class Assignment(NamedTuple):
    """What a worker is to serve: sent before its first plan, and again with each reload."""

    slot: int
    """Its slot of the scoreboard."""
    plan: bytes
    """A `PlanSpec`, pickled once for all workers. It is unpickled where it is linked, beside the loop: a plan with many
    regexes takes its time. It holds secrets."""
    members: dict[str, tuple[BackendSpec, ...]]
    """The backends that the upstreams have now: those of the configuration, of discovery, and of operators."""
    backend_rows: dict[str, int]
    upstream_rows: dict[str, int]
    rules: tuple[Rule, ...] = ()
    """The chaos rules that are active."""


class Command(NamedTuple):
    """Something to be done. `kind` names a method of `WorkerMain` ("adopt", "drain", ...)."""

    id: int
    kind: str
    payload: Any = None


class CommandResult(NamedTuple):
    """The request with this id is done, or failed for the reason `error`."""

    id: int
    error: str
    payload: Any = None


class Sockets(NamedTuple):
    """Listening sockets for `bind` come with this message; they are for the next assignment."""

    bind: str
    lent: bool
    """Whether they belong to a service manager, and with them the file of a Unix socket."""


class Drain(NamedTuple):
    """How to end: see `Proxy.drain`."""

    patient: bool
    grace: float


class Hello(NamedTuple):
    """A worker has started and can be given something to do."""

    pid: int
