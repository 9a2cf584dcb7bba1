"""Faults on the way to the backend: a stage of its own before the one that a rule names.

Law of this file: a fault looks to the rest of the proxy like the real thing. What concerns a backend goes the way that
its failures go, so that retries, ejection and limits do what they would do; nothing is sent twice because of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from ...errors import Reason
from ...exchange import Exchange, Stage
from ...stages.finish import answer, respond
from ...upstream.connection import Requester, UpstreamConnection
from .holding import Held, Pause, Silence, give_back, reset
from .rules import Live

GATEWAY_TIMEOUT = 504


class ChaosStage(Stage):
    """The faults before one stage. The first rule that strikes decides."""

    def __init__(self, following: Stage, lives: Sequence[Live], held: Held) -> None:
        super().__init__(following)
        self.lives = lives
        self.held = held

    def enter(self, x: Exchange) -> None:
        following = self.next
        assert following is not None
        pause = x.timer
        if isinstance(pause, Pause):  # it was here already, and comes back with another connection
            pause.let_go()
            following.enter(x)
            return
        for live in self.lives:
            if live.strikes(x):
                FAULTS[live.rule.fault](self, x, live)
                return
        following.enter(x)

    def delay(self, x: Exchange, live: Live) -> None:
        following = self.next
        assert following is not None
        seconds = live.seconds()
        if live.rule.stage == "connect" and seconds >= _connect_timeout(x):
            self._no_connection(x, live)  # it fails when a real one would
        else:
            Pause(x, self.held, following, x.upstream).wait(seconds)

    def _no_connection(self, x: Exchange, live: Live) -> None:
        x.tries += 1
        seconds = min(_connect_timeout(x), live.left())
        Silence(x, self.held, live.reason._replace(status=GATEWAY_TIMEOUT)).wait(seconds)

    def abort(self, x: Exchange, live: Live) -> None:
        if x.upstream is not None:  # nothing was sent on it
            connection, x.upstream = x.upstream, None
            give_back(connection)
        reason = live.reason._replace(status=live.rule.status)
        if reason.status < 400:
            respond(x, reason, "", b"")
        else:
            answer(x, reason)

    def reset(self, x: Exchange, live: Live) -> None:
        reset(x, live.reason)

    def black_hole(self, x: Exchange, live: Live) -> None:
        stage = live.rule.stage
        if stage == "connect":
            self._no_connection(x, live)
        elif stage == "send":
            self._swallow(x, live)
        else:
            Silence(x, self.held, live.reason._replace(status=GATEWAY_TIMEOUT)).wait(live.left())

    def _swallow(self, x: Exchange, live: Live) -> None:
        """Send the request to nobody, in place of the connection that was there for it."""
        connection, following, backend = x.upstream, self.next, x.backend
        assert connection is not None and following is not None and backend is not None
        x.upstream = BlackHole(connection, live, self.held)
        give_back(connection)
        following.enter(x)

    def connect_refused(self, x: Exchange, live: Live) -> None:
        x.tries += 1
        x.connect_failed(live.reason._replace(status=502))


def _connect_timeout(x: Exchange) -> float:
    backend = x.backend
    assert backend is not None
    seconds: float = backend.pool.settings.connect_timeout
    return seconds


Fault = Callable[[ChaosStage, Exchange, Live], None]
FAULTS: dict[str, Fault] = {
    "delay": ChaosStage.delay,
    "abort": ChaosStage.abort,
    "reset": ChaosStage.reset,
    "black_hole": ChaosStage.black_hole,
    "connect_refused": ChaosStage.connect_refused,
    "connect_delay": ChaosStage.delay,
}


class BlackHole(UpstreamConnection):
    """A connection to a backend that takes everything and never answers. Nothing of it is real but its deadline."""

    def __init__(self, instead_of: UpstreamConnection, live: Live, held: Held) -> None:
        super().__init__(instead_of.pool, instead_of.head.max_size, instead_of.head.max_count)
        self.reason: Reason = live.reason._replace(status=GATEWAY_TIMEOUT)
        self.until = live.rule.until
        self.held = held

    def send(self, requester: Requester, head: bytes, body: object, deadline: float) -> None:
        self.requester = requester
        self.held.add(self)
        self.pool.sweep.watched.add(self)
        self.deadline = min(deadline, self.until)

    def expect_head(self, deadline: float) -> None:
        self.deadline = min(deadline, self.until)

    def write(self, data: object) -> None:
        """Gone."""

    def write_eof(self) -> None:
        """Nobody hears it."""

    def pause_reading(self) -> None:
        """Nothing will come."""

    def resume_reading(self) -> None:
        """Nothing will come."""

    def discard(self) -> None:
        self.requester = None
        self.held.discard(self)
        self.pool.sweep.watched.discard(self)

    def close_gently(self, deadline: float) -> None:
        self.discard()

    def release(self) -> None:
        self.expire(monotonic())

    def expire(self, now: float) -> None:
        requester = self.requester
        self.discard()
        if requester is not None:
            requester.failed(self.reason, False)
