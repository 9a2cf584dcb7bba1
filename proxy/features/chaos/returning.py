"""Faults on the way back: what a response looks like that is late, slow, cut, garbled or never ends.

Law of this file: a response that is held back takes a bounded amount of memory: its connection stops reading. A
connection that has delivered its response belongs to its pool again, so a held exchange forgets it at once. Nothing
that was cut can pass for whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from ...errors import Reason
from ...exchange import Exchange, ReturnStage
from ...http.local_replies import PHRASES, proxy_status
from ...http1.codec import ResponseHead
from ...upstream.connection import UpstreamConnection
from .flows import Delayed, Flow, LateEnd, Paced, ResetEnd, Truncated
from .holding import Held, Pause, Silence, reset
from .rules import ENDING, Live, Rule

GATEWAY_TIMEOUT = 504
GARBAGE = b"!#$%&*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~"
"""Bytes that a value is garbled with: none that could change where it ends."""


class ChaosReturn(ReturnStage):
    """The faults of one route's way back, around `inner`. The first rule that strikes decides."""

    def __init__(self, inner: ReturnStage, lives: Sequence[Live], held: Held) -> None:
        self.inner = inner
        self.lives = lives
        self.held = held

    # --- before the response ---

    def room(self, x: Exchange) -> None:
        self.inner.room(x)

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        self.inner.connected(x, connection)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        if isinstance(x.timer, Pause):  # it had its delay, but its connection was lost over that
            x.timer.let_go()
        self.inner.connect_failed(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        self.inner.interim(x, head)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        self.inner.switched(x, head)  # what follows is no response any more

    # --- the response ---

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        for live in self.lives:
            if live.strikes(x):
                if complete:
                    x.upstream = None  # it belongs to the pool again
                kind = flow_of(live.rule)
                if kind is not None:
                    kind(x, self.held, self.inner, live).begin(head, body_end, complete)
                else:
                    FAULTS[live.rule.fault](self, x, live, head, body_end, complete)
                return
        self.inner.head(x, head, body_end, complete)

    def data(self, x: Exchange, data: Any) -> None:
        flow = x.timer
        if isinstance(flow, Flow):
            flow.data(data)
        else:
            self.inner.data(x, data)

    def end(self, x: Exchange) -> None:
        flow = x.timer
        if isinstance(flow, Flow):
            flow.end()
        else:
            self.inner.end(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        flow = x.timer
        if isinstance(flow, Flow):
            flow.failed(reason)
        else:
            self.inner.failed(x, reason, silent)

    # --- faults that are no flow ---

    def abort(self, x: Exchange, live: Live, head: ResponseHead, body_end: int, complete: bool) -> None:
        """In place of the response, one with an error status, as if the backend had sent it."""
        discard(x)
        client, plan = x.client, x.plan
        assert client is not None and plan is not None
        client.counters.reason(live.reason.name)
        status = live.rule.status
        says = proxy_status(plan.settings.via or "qantara", live.reason)
        text = f"HTTP/1.1 {status} {PHRASES.get(status, '')}\r\n{says}Content-Length: 0\r\n\r\n".encode("latin-1")
        made = parsed(head, text)
        self.inner.head(x, made, made.end, True)

    def reset(self, x: Exchange, live: Live, *_: Any) -> None:
        reset(x, live.reason)

    def black_hole(self, x: Exchange, live: Live, *_: Any) -> None:
        """The response is lost on its way: it comes too late, as if it had not come at all."""
        discard(x)
        route = x.route
        assert route is not None
        silence = Silence(x, self.held, live.reason._replace(status=GATEWAY_TIMEOUT))
        silence.wait(min(route.response_head, live.left()))

    def corrupt_header(self, x: Exchange, live: Live, head: ResponseHead, body_end: int, complete: bool) -> None:
        assert head.data is not None
        text = garbled(head.data[head.start : head.end], live.rule.header, live.draws)
        made = parsed(head, text + head.data[head.end : body_end])
        self.inner.head(x, made, made.end + body_end - head.end, complete)


Fault = Callable[..., None]
FAULTS: dict[str, Fault] = {
    "abort": ChaosReturn.abort,
    "reset": ChaosReturn.reset,
    "black_hole": ChaosReturn.black_hole,
    "corrupt_header": ChaosReturn.corrupt_header,
}
FLOWS: dict[str, type[Flow]] = {"delay": Delayed, "bandwidth": Paced, "truncate": Truncated}


def flow_of(rule: Rule) -> type[Flow] | None:
    """What hands a response on that a rule strikes, if it is handed on by and by."""
    if rule.stage in ENDING:
        return ResetEnd if rule.fault == "reset" else LateEnd
    return FLOWS.get(rule.fault)


def discard(x: Exchange) -> None:
    """Let go of a connection whose response is no longer wanted."""
    upstream, x.upstream = x.upstream, None
    if upstream is not None:
        upstream.discard()


def parsed(like: ResponseHead, text: bytes) -> ResponseHead:
    """A head of its own, read with the limits of another."""
    head = ResponseHead()
    head.max_size, head.max_count = max(like.max_size, len(text)), like.max_count
    head.parse(text, 0)
    return head


def garbled(text: bytes, name: bytes, dice: Random) -> bytes:
    """A head in which each byte of one header's values is another, and there are as many."""

    def garble(match: re.Match[bytes]) -> bytes:
        return match[1] + bytes(dice.choice(GARBAGE.replace(bytes((byte,)), b"")) for byte in match[2])

    return re.sub(rb"(?mi)^(" + re.escape(name) + rb":[ \t]*)([^\r\n]*)", garble, text)
