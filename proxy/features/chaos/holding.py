"""An exchange that is held back.

Law of this file: a `Hold` is the `wait` of its exchange, which everything that ends an exchange cancels
(stages/finish.py). Exchanges are reused: a hold acts only while it is still that `wait`, so that no event of one
request reaches the next.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ...deadlines import NEVER
from ...errors import INTERNAL, Reason
from ...exchange import Exchange, Stage
from ...stages.attempt import wait_for_connection
from ...stages.finish import abort, local_error
from ...upstream.ports import UpstreamStream

log = logging.getLogger("qantara")

Held = set[Any]
"""The holds that an injector releases when it is stopped: each element has `release`."""


class Hold:
    """A wait of an exchange that ends by a timer."""

    def __init__(self, x: Exchange, held: Held) -> None:
        self.x: Exchange | None = x
        self.held = held
        self.handle: asyncio.TimerHandle | None = None
        held.add(self)
        x.wait = self

    def wait(self, seconds: float) -> None:
        """Release after `seconds`."""
        self.handle = asyncio.get_running_loop().call_later(seconds, self.release)

    def cancel(self) -> None:
        """The exchange is over, or another event has replaced this wait."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
        self.x = None
        self.held.discard(self)

    def holds(self) -> bool:
        """Whether the exchange still waits for this hold."""
        return self.x is not None and self.x.wait is self

    def let_go(self) -> Exchange | None:
        """End the hold. Returns the exchange, None if it is over."""
        x = self.x if self.holds() else None
        if x is not None:
            x.wait = None
        self.cancel()
        return x

    def release(self) -> None:
        """End the hold now."""
        try:
            self.go_on()
        except Exception:  # no caller above would answer the client
            log.exception("a defect of the proxy, after an injected fault")
            x = self.let_go()
            if x is not None:
                local_error(x, INTERNAL)

    def go_on(self) -> None:
        """The action at the end of the hold."""


class Pause(Hold):
    """A request that enters its next stage after a delay. At `send` it has a connection, which is detached meanwhile:
    parts of the body that arrive before the head is sent must not be written to it."""

    def __init__(self, x: Exchange, held: Held, following: Stage, connection: UpstreamStream | None) -> None:
        super().__init__(x, held)
        self.following = following
        self.connection = connection
        self.reconnecting = False
        x.let_go()
        x.was_delayed = True
        if connection is not None:
            connection.deadline = NEVER

    def cancel(self) -> None:
        connection, self.connection = self.connection, None
        super().cancel()
        if connection is not None:
            connection.give_back()

    def go_on(self) -> None:
        if self.reconnecting:
            return
        connection, self.connection = self.connection, None
        if connection is not None and not connection.usable():
            self.reconnect(connection)
            return
        x = self.let_go()
        if x is not None:
            if connection is not None:
                x.take(connection)
            self.following.enter(x)
        elif connection is not None:
            connection.give_back()

    def reconnect(self, connection: UpstreamStream) -> None:
        """The backend has closed the connection meanwhile: acquire another one. This object stays the `wait` of the
        exchange, which marks the request as delayed (see ChaosStage)."""
        connection.discard()
        x = self.x
        if x is not None and self.holds() and x.attempt.backend is not None:
            self.reconnecting = True
            wait_for_connection(x.attempt, True)


class Silence(Hold):
    """A request without a response until a timer ends; then it fails, here or as if at its backend."""

    def __init__(self, x: Exchange, held: Held, reason: Reason) -> None:
        super().__init__(x, held)
        self.reason = reason

    def go_on(self) -> None:
        x = self.let_go()
        if x is None:
            return
        if self.reason.retryable:
            x.attempt.connect_failed(self.reason)
        elif self.reason.stage == "relay":
            x.attempt.failed(self.reason, False)
        else:
            local_error(x, self.reason)


def reset(x: Exchange, reason: Reason) -> None:
    """Reset the client connection, and abort the request."""
    client = x.client
    assert client is not None
    client.reset(x)
    abort(x, reason)
