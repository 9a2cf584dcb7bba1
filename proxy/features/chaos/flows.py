"""Flows: buffers between the backend and the client that delay, pace or cut a response.

Law of this file: events leave in the order of arrival, each once. Before each event the flow checks that it still holds
the exchange, since the previous event may have ended it. When the rule expires, the flow releases its buffer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Any

from ...errors import Reason
from ...exchange import Exchange, ResponseStage
from ...http1.codec import ResponseHead
from ...http1.framing import Trailers
from ...http1.rendering import copied
from .holding import Held, Hold, reset
from .rules import ActiveRule

TICK = 0.02
"""Seconds between two portions of a response with limited bandwidth."""
BUFFER_LIMIT = 65536
"""Buffered bytes from which on reading from the backend is paused."""
Failure = tuple[Reason]


class Flow(Hold):
    """The buffer of one response. Subclasses decide when `pour` passes on how many bytes."""

    def __init__(self, x: Exchange, held: Held, inner: ResponseStage, active: ActiveRule) -> None:
        super().__init__(x, held)
        self.inner = inner
        self.active = active
        self.start: ResponseHead | None = None
        """The head, until it is passed on."""
        self.whole = False
        """Whether the head is the whole response."""
        self.queue: deque[bytes] = deque()
        self.size = 0
        self.throttled = False
        self.trailers: Trailers = ()
        self.over: Failure | tuple[()] | None = None
        """The end of the response: () if it is complete, else the reason; None before."""

    # --- from the backend ---

    def begin(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        """The head, and the first part of the body."""
        self.start = copied(head)
        self.whole = complete and body_end == head.end
        if body_end > head.end:
            self._put(head.data[head.end : body_end])
        if complete and not self.whole:
            self.over = ()
        self.came()

    def data(self, data: Any) -> None:
        self._put(bytes(data))
        self.came()

    def end(self, trailers: Trailers) -> None:
        self.trailers = trailers
        self._ended(())

    def failed(self, reason: Reason) -> None:
        self._ended((reason,))

    def _put(self, data: bytes) -> None:
        self.queue.append(data)
        self.size += len(data)

    def _ended(self, how: Failure | tuple[()]) -> None:
        if self.x is not None:
            self.x.let_go()  # the connection belongs to the pool again
        self.over = how
        self.came()

    # --- to the client ---

    def came(self) -> None:
        """After each event: pass on what is due, and pause reading if the buffer is full."""

    def throttle(self) -> None:
        """Pause reading from the backend while the buffer is full. Called with each event, since a client that reads
        again also resumes it."""
        upstream = self.x.source if self.x is not None else None
        if upstream is None:
            return
        if self.size >= BUFFER_LIMIT:
            self.throttled = True
            upstream.pause_reading()
        elif self.throttled:
            self.throttled = False
            upstream.resume_reading()

    def go_on(self) -> None:
        """The hold is over: pass on the whole buffer; later events bypass the flow."""
        x = self.x
        if x is not None and self.holds() and x.source is not None:
            x.source.resume_reading()  # first: what follows may find that the client takes no more
        self.pour(self.size)
        self.let_go()

    def pour(self, most: int) -> int:
        """Pass on the head, up to `most` bytes of the body, and the end if the buffer is empty. Returns the remainder
        of `most`."""
        if self.start is not None and self.holds():
            start, self.start = self.start, None
            assert self.x is not None
            self.inner.head(self.x, start, start.end, self.whole)
        while most > 0 and self.queue and self.holds():
            data = self.queue.popleft()
            if len(data) > most:
                self.queue.appendleft(data[most:])
                data = data[:most]
            most -= len(data)
            self.size -= len(data)
            assert self.x is not None
            self.inner.data(self.x, data)
        if not self.queue and self.over is not None and self.holds():
            self.finish(self.over)
        if not self.holds():
            self.cancel()
        return most

    def finish(self, how: Failure | tuple[()]) -> None:
        """Pass on the end of the response."""
        x = self.let_go()
        if x is None:
            return
        if how:
            self.inner.failed(x, how[0], False)
        else:
            self.inner.end(x, self.trailers)


class Delayed(Flow):
    """The whole response after a delay."""

    def begin(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        super().begin(head, body_end, complete)
        if self.x is not None and self.x.source is not None:
            self.x.source.pause_reading()
        self.wait(self.active.seconds())

    def came(self) -> None:
        if self.size >= BUFFER_LIMIT:
            self.throttle()


class Paced(Flow):
    """The body with limited bandwidth: a portion per TICK, none while writing to the client is paused."""

    credit = 0.0
    then = 0.0

    def begin(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        self.then = monotonic()
        super().begin(head, body_end, complete)
        self.pour(0)
        if self.holds():
            self.wait(TICK)

    def came(self) -> None:
        if self.size >= BUFFER_LIMIT:
            self.throttle()

    def go_on(self) -> None:
        if self.active.left() <= 0.0:
            super().go_on()
            return
        now = monotonic()
        self.credit += (now - self.then) * self.active.rule.rate
        self.then = now
        if not self._client_is_paused():
            portion = int(self.credit)
            self.credit += self.pour(portion) - portion
            if not self.queue:
                self.credit = 0.0  # nothing is saved up while nothing comes
        if self.holds():
            self.throttle()
            self.wait(TICK)

    def _client_is_paused(self) -> bool:
        """Whether writing to the client is paused: further bytes would be buffered without bound."""
        client = self.x.client if self.x is not None else None
        return client is not None and client.write_paused


class Truncated(Flow):
    """The body up to `rule.size` bytes; if it is longer, then a failure as of a crashed backend."""

    taken = 0

    def came(self) -> None:
        most = self.active.rule.size - self.taken
        cut = self.size > most
        if cut and self.over is not None:
            self.over = None  # the cut replaces the end
        self.taken += most - self.pour(most)
        if cut and self.holds():
            self._cut()

    def _cut(self) -> None:
        """Fail in the next iteration of the event loop: bytes written in this one would be lost."""
        x = self.x
        if x is not None:
            x.drop_source()
        self.over = (self.active.reason,)
        self.queue.clear()
        self.size = 0
        self.handle = asyncio.get_running_loop().call_later(0.0, self.release)


class LateEnd(Flow):
    """All but the last byte at once, the last byte after a delay."""

    def came(self) -> None:
        if self.start is not None and self.whole:
            self.pour(0)  # there is no last byte
            return
        self.pour(self.size - 1)
        if self.over is None or not self.holds():
            return
        if self.over or not self.queue:
            self.finish(self.over)
        elif self.handle is None:
            self.wait(self.active.left() if self.active.rule.fault == "black_hole" else self.active.seconds())


class ResetEnd(Flow):
    """All but the last byte, then a reset of the client connection."""

    def came(self) -> None:
        if self.over is None:
            self.pour(self.size - 1)
            return
        self.pour(max(0, self.size - 1))
        if self.holds():
            self.handle = asyncio.get_running_loop().call_later(0.0, self.release)

    def go_on(self) -> None:
        x = self.let_go()
        if x is not None:
            reset(x, self.active.reason)
