"""The shared state of all client connections of one worker.

Law of this file: the plan is swapped here by one assignment; connections read it when a request begins. The limits on
the number of connections, and the pool of idle exchanges, are here.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

from ..deadlines import Sweep
from ..errors import TOO_MANY_CONNECTIONS, TOO_MANY_FROM_CLIENT, Reason
from ..exchange import Exchange
from ..metrics import Counters
from ..plan import Plan

SPARE_EXCHANGES = 256
MOST_REFUSALS = 64
"""Connections beyond a limit that get a response; further ones are reset, so that refusals cost a bounded amount."""


class Acceptor:
    """Connections, limits, spare exchanges and the current plan of one worker."""

    def __init__(self, plan: Plan, sweep: Sweep, counters: Counters, log: Any) -> None:
        self.adopt(plan)
        self.sweep = sweep
        self.counters = counters
        self.log = log
        self.leaving = False
        """Set before a stop: every response has `Connection: close`."""
        self.stopping = False
        self.when_empty: Callable[[], object] | None = None
        """Called when the last connection has closed after `stop`."""
        self.open: set[Any] = set()
        self.per_client: dict[str, int] = {}
        self.spare: list[Exchange] = []

    def adopt(self, plan: Plan) -> None:
        """Adopt a plan: the next request of each connection begins on it."""
        self.plan = plan
        self.head_size = plan.settings.head_size
        self.target_size = plan.settings.target_size
        self.header_count = plan.settings.header_count
        self.keepalive = plan.settings.keepalive

    def use_log(self, log: Any) -> None:
        """Set the access log; None for none."""
        self.log = log
        for connection in self.open:
            connection.log = log

    def retire(self, listener: str) -> None:
        """Close the connections of a removed listener as soon as they are idle."""
        now = monotonic()
        for connection in list(self.open):
            if connection.listener == listener:
                connection.retire(now)

    def take(self) -> Exchange:
        """An exchange for a new request."""
        spare = self.spare
        x = spare.pop() if spare else Exchange()
        head = x.head
        head.max_size = self.head_size
        head.max_target = self.target_size
        head.max_count = self.header_count
        return x

    def give(self, x: Exchange) -> None:
        """Take an exchange back."""
        x.clear()
        if len(self.spare) < SPARE_EXCHANGES:
            self.spare.append(x)

    def admit(self, connection: Any, address: str) -> Reason | None:
        """Count a new connection. Returns the reason of a refusal, None if it is accepted."""
        self.counters.opened()
        self.open.add(connection)
        self.sweep.watched.add(connection)
        held = self.per_client.get(address, 0) + 1
        self.per_client[address] = held
        settings = self.plan.settings
        if len(self.open) > settings.connections:
            return TOO_MANY_CONNECTIONS
        if held > settings.connections_per_client:
            return TOO_MANY_FROM_CLIENT
        return None

    def crowded(self, address: str) -> bool:
        """Whether this connection is reset without a response: too many are beyond a limit."""
        settings = self.plan.settings
        return (
            len(self.open) > settings.connections + MOST_REFUSALS
            or self.per_client.get(address, 0) > settings.connections_per_client + MOST_REFUSALS
        )

    def forget(self, connection: Any, address: str) -> None:
        """A connection is closed."""
        self.counters.closed()
        self.open.discard(connection)
        self.sweep.watched.discard(connection)
        held = self.per_client.get(address, 0) - 1
        if held > 0:
            self.per_client[address] = held
        else:
            self.per_client.pop(address, None)
        if self.leaving and not self.open and self.when_empty is not None:
            self.when_empty()

    def leave(self) -> None:
        """Announce a stop: every response from now on has `Connection: close`."""
        self.leaving = True
        for connection in self.open:
            connection.may_keep = False

    def stop(self) -> None:
        """Accept no further requests: idle connections close now, the others after their response."""
        self.stopping = self.leaving = True
        now = monotonic()
        for connection in list(self.open):
            connection.retire(now)

    def in_flight(self) -> bool:
        """Whether a request is in flight."""
        return any(connection.x is not None for connection in self.open)

    def cut_all(self) -> None:
        """Close all connections at once."""
        for connection in list(self.open):
            connection.stop_now()
