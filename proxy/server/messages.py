"""What the supervisor and its workers say to each other.

Law of this file: plain data. A request has an id, and its `Reply` the same; everything is sent through a `Channel`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..configuration.schema import Config
from ..features.chaos import Rule
from ..features.sticky.balancer import StickySpec
from ..upstream.backend import BackendSpec


class Assignment(NamedTuple):
    """What a worker is to serve: sent before its first plan, and again with each reload."""

    slot: int
    """Its slot of the scoreboard; 0 for a spare, which only has to know the configuration."""
    config: Config
    sticky: dict[str, StickySpec]
    """How its sticky upstreams know backends again: as it was when the configuration was read, by all workers alike."""
    members: dict[str, tuple[BackendSpec, ...]]
    """The backends of upstreams whose configuration does not say them all (discovery, operators)."""
    backend_rows: dict[str, int]
    upstream_rows: dict[str, int]
    rules: tuple[Rule, ...] = ()
    """The chaos rules that are active."""


class Command(NamedTuple):
    """Something to be done. `kind` names a method of `WorkerMain` ("adopt", "drain", ...)."""

    id: int
    kind: str
    payload: Any = None


class Reply(NamedTuple):
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
