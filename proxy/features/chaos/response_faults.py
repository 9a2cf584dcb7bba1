"""Faults on the way back: late, slow, truncated, garbled and endless responses.

Law of this file: the memory of a held response is bounded: reading from its connection is paused. A connection that has
delivered its response belongs to its pool again, so a held exchange releases it at once. A truncated response is always
recognizable as incomplete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from ...errors import Reason
from ...exchange import Exchange, ResponseStage
from ...http.local_replies import proxy_status
from ...http1.codec import ResponseHead
from ...http1.framing import Trailers
from ...http1.rendering import changed, response_head
from .flows import Delayed, Flow, LateEnd, Paced, ResetEnd, Truncated
from .holding import Held, Pause, Silence, reset
from .rules import ENDING, ActiveRule, Rule

GATEWAY_TIMEOUT = 504
GARBAGE = b"!#$%&*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
"""The bytes of garbled values: none can change where a value ends."""


class ChaosReturn(ResponseStage):
    """The faults on the way back of one route. The first rule that strikes decides."""

    def __init__(self, following: ResponseStage, rules: Sequence[ActiveRule], held: Held) -> None:
        super().__init__(following)
        self.rules = rules
        self.held = held

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        if isinstance(x.wait, Pause):  # the connection was lost during the delay
            x.wait.let_go()
        self.next.connect_failed(x, reason)

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        for active in self.rules:
            if active.strikes(x):
                if complete:
                    x.let_go()  # the connection belongs to the pool again
                kind = flow_of(active.rule)
                if kind is not None:
                    kind(x, self.held, self.next, active).begin(head, body_end, complete)
                else:
                    FAULTS[active.rule.fault](self, x, active, head, body_end, complete)
                return
        self.next.head(x, head, body_end, complete)

    def data(self, x: Exchange, data: Any) -> None:
        flow = x.wait
        if isinstance(flow, Flow):
            flow.data(data)
        else:
            self.next.data(x, data)

    def end(self, x: Exchange, trailers: Trailers) -> None:
        flow = x.wait
        if isinstance(flow, Flow):
            flow.end(trailers)
        else:
            self.next.end(x, trailers)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        flow = x.wait
        if isinstance(flow, Flow):
            flow.failed(reason)
        else:
            self.next.failed(x, reason, silent)

    # --- faults other than flows ---

    def abort(self, x: Exchange, active: ActiveRule, head: ResponseHead, body_end: int, complete: bool) -> None:
        """Replace the response by one with an error status, as if from the backend."""
        x.drop_source()
        client, plan = x.client, x.plan
        assert client is not None and plan is not None
        client.counters.reason(active.reason.name)
        made = response_head(head, active.rule.status, (proxy_status(plan.settings.via or "qantara", active.reason),))
        self.next.head(x, made, made.end, True)

    def reset(self, x: Exchange, active: ActiveRule, *_: Any) -> None:
        reset(x, active.reason)

    def black_hole(self, x: Exchange, active: ActiveRule, *_: Any) -> None:
        """Drop the response; the request fails at its deadline for the response head."""
        x.drop_source()
        route = x.route
        assert route is not None
        silence = Silence(x, self.held, active.reason._replace(status=GATEWAY_TIMEOUT))
        silence.wait(min(route.response_head, active.left()))

    def corrupt_header(
        self, x: Exchange, active: ActiveRule, head: ResponseHead, body_end: int, complete: bool
    ) -> None:
        made = changed(head, body_end, active.rule.header, partial(garbled, active.draws))
        self.next.head(x, made, made.end + body_end - head.end, complete)


Fault = Callable[..., None]
FAULTS: dict[str, Fault] = {
    "abort": ChaosReturn.abort,
    "reset": ChaosReturn.reset,
    "black_hole": ChaosReturn.black_hole,
    "corrupt_header": ChaosReturn.corrupt_header,
}
FLOWS: dict[str, type[Flow]] = {"delay": Delayed, "bandwidth": Paced, "truncate": Truncated}


def flow_of(rule: Rule) -> type[Flow] | None:
    """The class of flow for the fault of a rule, None if the fault needs no buffer."""
    if rule.stage in ENDING:
        return ResetEnd if rule.fault == "reset" else LateEnd
    return FLOWS.get(rule.fault)


def garbled(dice: Random, value: bytes) -> bytes:
    """The value with each byte replaced by another one."""
    return bytes(dice.choice(GARBAGE.replace(bytes((byte,)), b"")) for byte in value)
