"""An exchange that is held back.

Law of this file: a `Hold` is the `wait` of its exchange, which everything that ends an exchange cancels
(ending.detach). Exchanges are reused: a hold acts only as long as it still is that timer, so that nothing that was
meant for one request can reach the next.
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
"""What an injector has to let go of when it is stopped: everything in it has `release`."""


class Hold:
    """Something that waits with an exchange, and goes on by itself."""

    def __init__(self, x: Exchange, held: Held) -> None:
        self.x: Exchange | None = x
        self.held = held
        self.handle: asyncio.TimerHandle | None = None
        held.add(self)
        x.wait = self

    def wait(self, seconds: float) -> None:
        """Go on after a while."""
        self.handle = asyncio.get_running_loop().call_later(seconds, self.release)

    def cancel(self) -> None:
        """The exchange is over, or goes another way."""
        if self.handle is not None:
            self.handle.cancel()
            self.handle = None
        self.x = None
        self.held.discard(self)

    def holds(self) -> bool:
        """Whether the exchange is still the one that was held back."""
        return self.x is not None and self.x.wait is self

    def let_go(self) -> Exchange | None:
        """Give the exchange back to whatever is to happen with it now; None if it is over."""
        x = self.x if self.holds() else None
        if x is not None:
            x.wait = None
        self.cancel()
        return x

    def release(self) -> None:
        """Go on now."""
        try:
            self.go_on()
        except Exception:  # nobody above would tell the client
            log.exception("a defect of the proxy, after an injected fault")
            x = self.let_go()
            if x is not None:
                local_error(x, INTERNAL)

    def go_on(self) -> None:
        """What happens when the time is over."""


class Pause(Hold):
    """A request that enters its next stage later. At `send` it has a connection, which is kept for it meanwhile, out
    of sight of the client: what comes of the body before the head was sent may not be written to it."""

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
        """The backend did not wait as long: get another connection. As its `wait`, this remains the proof that the
        request has had its delay (see ChaosStage)."""
        connection.discard()
        x = self.x
        if x is not None and self.holds() and x.attempt.backend is not None:
            self.reconnecting = True
            wait_for_connection(x.attempt, True)


class Silence(Hold):
    """A request that gets no answer for a while, and then one that says why: from here, or as if from its backend."""

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
    """Reset the connection of the client, and give the request up."""
    client = x.client
    assert client is not None
    client.reset(x)
    abort(x, reason)
