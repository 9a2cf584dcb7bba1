"""Faults on the way to the backend, injected before the stage of a rule.

Law of this file: an injected fault takes the path of a real one: faults of a backend are reported as its failures, so
that retries, ejection and limits apply. A fault causes no request to be sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from ...deadlines import Sweep
from ...errors import Reason
from ...exchange import Exchange, Stage
from ...http.local_replies import LocalReply, proxy_status
from ...stages.finish import local_error, local_reply
from ...upstream.ports import OutgoingRequest, Requester, UpstreamStream
from .holding import Held, Pause, Silence, reset
from .rules import ActiveRule

GATEWAY_TIMEOUT = 504


class ChaosStage(Stage):
    """The faults before one stage. The first rule that strikes decides."""

    def __init__(self, following: Stage, rules: Sequence[ActiveRule], held: Held) -> None:
        super().__init__(following)
        self.rules = rules
        self.held = held

    def enter(self, x: Exchange) -> None:
        pause = x.wait
        if isinstance(pause, Pause):  # already delayed; entered again with another connection
            pause.let_go()
            self.next.enter(x)
            return
        for active in self.rules:
            if active.strikes(x):
                FAULTS[active.rule.fault](self, x, active)
                return
        self.next.enter(x)

    def delay(self, x: Exchange, active: ActiveRule) -> None:
        seconds = active.seconds()
        if active.rule.stage == "connect" and seconds >= _connect_timeout(x):
            self._no_connection(x, active)  # a real connect would time out
        else:
            Pause(x, self.held, self.next, x.attempt.upstream).wait(seconds)

    def _no_connection(self, x: Exchange, active: ActiveRule) -> None:
        x.tries += 1
        seconds = min(_connect_timeout(x), active.left())
        Silence(x, self.held, active.reason._replace(status=GATEWAY_TIMEOUT)).wait(seconds)

    def abort(self, x: Exchange, active: ActiveRule) -> None:
        connection = x.attempt.upstream
        if connection is not None:  # nothing was sent on it
            x.let_go()
            connection.give_back()
        reason = active.reason._replace(status=active.rule.status)
        if reason.status < 400:
            plan = x.plan
            assert plan is not None
            local_reply(x, LocalReply(reason, (proxy_status(plan.settings.via or "qantara", reason),)))
        else:
            local_error(x, reason)

    def reset(self, x: Exchange, active: ActiveRule) -> None:
        reset(x, active.reason)

    def black_hole(self, x: Exchange, active: ActiveRule) -> None:
        stage = active.rule.stage
        if stage == "connect":
            self._no_connection(x, active)
        elif stage == "send":
            self._swallow(x, active)
        else:
            Silence(x, self.held, active.reason._replace(status=GATEWAY_TIMEOUT)).wait(active.left())

    def _swallow(self, x: Exchange, active: ActiveRule) -> None:
        """Replace the connection of the request by a BlackHole."""
        connection, backend = x.attempt.upstream, x.attempt.backend
        assert connection is not None and backend is not None
        x.take(BlackHole(backend.pool.sweep, active, self.held))
        connection.give_back()
        self.next.enter(x)

    def connect_refused(self, x: Exchange, active: ActiveRule) -> None:
        x.tries += 1
        x.attempt.connect_failed(active.reason._replace(status=502))


def _connect_timeout(x: Exchange) -> float:
    backend = x.attempt.backend
    assert backend is not None
    seconds: float = backend.pool.settings.connect_timeout
    return seconds


Fault = Callable[[ChaosStage, Exchange, ActiveRule], None]
FAULTS: dict[str, Fault] = {
    "delay": ChaosStage.delay,
    "abort": ChaosStage.abort,
    "reset": ChaosStage.reset,
    "black_hole": ChaosStage.black_hole,
    "connect_refused": ChaosStage.connect_refused,
    "connect_delay": ChaosStage.delay,
}


class BlackHole(UpstreamStream):
    """A simulated connection that accepts the request and never responds; its deadline is a real one."""

    def __init__(self, sweep: Sweep, active: ActiveRule, held: Held) -> None:
        super().__init__()
        self.sweep = sweep
        self.requester: Requester | None = None
        self.reason: Reason = active.reason._replace(status=GATEWAY_TIMEOUT)
        self.until = active.rule.until
        self.held = held

    def send(self, requester: Requester, request: OutgoingRequest, body: object, deadline: float) -> None:
        self.requester = requester
        self.held.add(self)
        self.sweep.watched.add(self)
        self.deadline = min(deadline, self.until)

    def expect_head(self, deadline: float) -> None:
        self.deadline = min(deadline, self.until)

    def discard(self) -> None:
        self.requester = None
        self.held.discard(self)
        self.sweep.watched.discard(self)

    def close_gently(self, deadline: float) -> None:
        self.discard()

    def release(self) -> None:
        """End it now."""
        self.expire(monotonic())

    def expire(self, now: float) -> None:
        requester = self.requester
        self.discard()
        if requester is not None:
            requester.failed(self.reason, False)
