"""A backend: what the configuration says of it, and what is happening to it.

Law of this file: `BackendSpec` is configuration and never changes; `Backend` is live state, and outlives the
configuration that named it for as long as its address stays in that upstream.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class BackendSpec(NamedTuple):
    """One backend as configured. `path` is set for a Unix socket, `host` and `port` otherwise."""

    address: str
    host: str
    port: int
    path: str
    weight: int = 1
    region: str | None = None


class Backend:
    """One backend as it is: counters, and the pool of connections to it."""

    def __init__(self, spec: BackendSpec) -> None:
        self.spec = spec
        self.name = spec.address
        self.weight = spec.weight
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.pool: Any = None

    def __repr__(self) -> str:
        return f"<Backend {self.name} weight={self.weight} in_flight={self.in_flight}>"
