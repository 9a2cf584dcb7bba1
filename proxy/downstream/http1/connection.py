"""One connection to a client.

Law of this file: it turns bytes into exchanges, one at a time and in order, with flow control on both sides: reading is
paused while a body has no receiver, and no further request begins while writing is paused. A connection always has the
deadline of its state, so that an idle one cannot stay open.
"""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any

from ...deadlines import NEVER
from ...errors import (
    BODY_INCOMPLETE,
    BODY_TIMEOUT,
    CLIENT_GONE,
    HEAD_TIMEOUT,
    INTERNAL,
    REQUEST_TIMEOUT,
    SHUTTING_DOWN,
    WRITE_TIMEOUT,
    ProtocolError,
    Reason,
)
from ...exchange import Exchange
from ...http1.codec import HeadBuffer
from ...plan import Plan
from ...stages.finish import abort, local_error
from ...stages.route import start
from ..acceptor import Acceptor
from ..client_socket import BODY, BUSY, CLOSED, CLOSING, LINGER, READY, TUNNEL
from .body import PIPELINED_LIMIT, StreamingSocket

log = logging.getLogger("qantara")


class ClientConnection(StreamingSocket):
    """asyncio protocol facing a client."""

    def __init__(self, acceptor: Acceptor) -> None:
        super().__init__(acceptor)
        self.plan: Plan | None = None
        self.served = 0
        self.most_requests = 0
        self.gather: HeadBuffer | None = None
        self.working = False

    # --- callbacks of asyncio ---

    def connection_made(self, transport: Any) -> None:
        self.take_transport(transport)
        acceptor = self.acceptor
        self._adopt(acceptor.plan)
        refusal = acceptor.admit(self, self.peer.address)
        now = monotonic()
        self.deadline = now + acceptor.plan.settings.head_timeout
        if refusal is None and acceptor.stopping:
            refusal = SHUTTING_DOWN
        if refusal is not None and acceptor.crowded(self.peer.address):
            self.counters.reason(refusal.name)
            self.cut(True)
        elif refusal is not None:
            self._refuse(acceptor.take(), refusal, now)

    def data_received(self, data: bytes) -> None:
        try:
            self._read(data)
        except Exception:
            log.exception("a defect of the proxy, while reading from %s", self.peer.address)
            self.working = False
            if self.x is not None:
                local_error(self.x, INTERNAL)
            else:
                self.cut(True)

    def _read(self, data: bytes) -> None:
        state = self.state
        if state == READY:
            if self.gather is not None:
                self._gather_head(data)
            elif self.held is not None:
                self.hold(data)
            else:
                self._read_requests(data, 0)
        elif state == BODY:
            self.read_body_bytes(data)
        elif state == BUSY:
            self.hold(data)
        elif state == TUNNEL:
            self.read_tunnel_bytes(data)

    def eof_received(self) -> bool:
        state = self.state
        x = self.x
        self.eof = True
        if state == BODY and x is not None:
            local_error(x, BODY_INCOMPLETE)
            return True
        if state == BUSY and x is not None:  # it may have closed only its sending side: respond, within half_close
            if self.held is None:
                self.keep = False
            if not x.responding:
                self.deadline = monotonic() + self.acceptor.plan.settings.half_close
            return True
        if state == TUNNEL and x is not None:
            if self.backend_eof:
                self.close_tunnel(x)
            elif x.attempt.upstream is not None:
                x.attempt.upstream.end_input()
            return True
        return state == READY and self.held is not None  # begun when the client has read the bytes sent

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        self.deadline = NEVER
        self.acceptor.forget(self, self.peer.address)
        x = self.x
        if x is not None:
            abort(x, CLIENT_GONE)
        self.gather = None
        self.held = None

    def pause_writing(self) -> None:
        self.write_paused = True
        self.waited_for = self.unsent()
        self._allow_to_take(monotonic())
        x = self.x
        if x is not None and x.source is not None:
            x.source.pause_reading()

    def resume_writing(self) -> None:
        self.write_paused = False
        self.waited_for = 0
        x = self.x
        if x is not None:
            self.set_request_deadline(x, monotonic())
            if x.source is not None:
                x.source.resume_reading()
        elif self.state == READY:
            self.deadline = monotonic() + self.acceptor.plan.settings.keepalive
            self._go_on()

    def expire(self, now: float) -> None:
        state, x = self.state, self.x
        if self.waited_for and (x is None or now < self.latest(x)) and self.takes():
            self._allow_to_take(now)
        elif x is not None:
            self._expire_request(x, now)
        elif state == READY and self.gather is not None and not self.write_paused:
            self._refuse(self.acceptor.take(), HEAD_TIMEOUT, now)
        elif state == READY and not self.write_paused:
            self._end(now)
        elif state != CLOSED:
            self.transport.abort()

    def _allow_to_take(self, now: float) -> None:
        """Set the deadline for the client's progress, within that of the whole request."""
        self.deadline = now + self.acceptor.plan.settings.send_idle
        if self.x is not None:
            self.deadline = min(self.deadline, self.latest(self.x))

    def _expire_request(self, x: Exchange, now: float) -> None:
        if self.write_paused:
            x.responding = True  # a client that does not read cannot get a response
            local_error(x, WRITE_TIMEOUT if now < self.latest(x) else REQUEST_TIMEOUT)
        elif self.eof and not x.responding:
            self.transport.abort()
        elif self.state == TUNNEL:
            self.close_tunnel(x)
        else:
            stalled = self.state == BODY and now < self.latest(x)
            local_error(x, BODY_TIMEOUT if stalled else REQUEST_TIMEOUT)

    def stop_now(self) -> None:
        """End the exchange in flight and close: the drain time of the worker is over."""
        if self.x is not None:
            local_error(self.x, SHUTTING_DOWN)
        else:
            self.cut(False)

    # --- heads ---

    def _read_requests(self, data: bytes, at: int) -> None:
        """Begin requests until one is in flight or the bytes run out."""
        size = len(data)
        self.working = True
        while at < size and self.state == READY and not self.write_paused:
            at = self._read_request(data, at, size)
        self.working = False
        if self.eof and self.state == READY:  # the rest is an incomplete request, and remains so
            self._end(monotonic())
        elif at < size and self.state < LINGER:
            self.held = data
            self.held_at = at
            if size - at > PIPELINED_LIMIT or self.write_paused:
                self.stop_reading()

    def _read_request(self, data: bytes, at: int, size: int) -> int:
        """Begin one request. Returns the offset of the first byte that is not its own."""
        acceptor = self.acceptor
        x = acceptor.take()
        try:
            end = x.head.parse(data, at)
        except ProtocolError as error:
            self._refuse(x, error.reason, monotonic())
            return size
        if end == 0:
            acceptor.give(x)
            self._gather_head(data[at:])
            return size
        now = monotonic()
        if acceptor.plan is not self.plan:
            self._adopt(acceptor.plan)
        plan = self.plan
        assert plan is not None
        self.served += 1
        if self.served >= self.most_requests or acceptor.leaving:
            self.may_keep = False
        self.counters.began()
        self.x = x
        head = x.head
        x.begin(self, plan, now)
        if head.minor == 1:
            self.keep = not head.close
        else:
            self.keep = head.keep_alive
            x.http10 = x.decode_body = True
        self.chunk_body = False
        self.state = BUSY
        if head.chunked or head.content_length > 0:
            end = self.begin_body(x, data, end)
            if end < 0:
                return size
        else:
            x.request_done = True
        start(x)
        if self.state == BODY and self.x is x:
            self.pace_body(x, now)
        return end

    def _gather_head(self, data: bytes) -> None:
        """Parse a head that arrives in several reads."""
        if self.gather is None:
            settings = self.acceptor.plan.settings
            self.gather = HeadBuffer(settings.head_size)
            self.deadline = monotonic() + settings.head_timeout
        try:
            whole = self.gather.feed(data)
        except ProtocolError as error:
            self._refuse(self.acceptor.take(), error.reason, monotonic())
            return
        if whole is not None:
            self.gather = None
            self._read_requests(whole, 0)

    def _refuse(self, x: Exchange, reason: Reason, now: float) -> None:
        """Reject malformed bytes with a response, and close."""
        self.gather = None
        self.counters.began()
        self.x = x
        self.state = BODY  # more bytes may arrive: linger after the response
        x.refuse(self, self.acceptor.plan, now)
        self.keep = False
        local_error(x, reason)

    def _adopt(self, plan: Plan) -> None:
        """Adopt a plan: its settings for this peer."""
        self.plan = plan
        settings = plan.settings
        self.most_requests = settings.requests_per_connection
        self.peer.introduce(settings)

    # --- between requests ---

    def _go_on(self) -> None:
        """Begin the pipelined request."""
        data = self.held
        if data is not None and not self.working:
            self.held = None
            self.start_reading()
            self._read_requests(data, self.held_at)

    def finished(self, x: Exchange, now: float) -> None:
        self.x = None
        self.acceptor.give(x)
        if self.state == CLOSED or self.state == CLOSING:
            return
        if not self.keep or not self.may_keep or (self.eof and self.held is None):
            self._end(now)
            return
        self.state = READY
        if self.write_paused:
            return
        self.deadline = now + self.acceptor.keepalive
        if self.held is not None:
            self._go_on()

    def _end(self, now: float) -> None:
        """No further request."""
        unread = self.state == BODY or self.held is not None or self.read_paused or self.working
        self.held = None
        self.close(now, self.acceptor.plan.settings.send_idle, unread)

    def retire(self, now: float) -> None:
        """Close an idle connection now, a busy one after its response."""
        self.may_keep = False
        if self.x is None and self.state == READY:
            self._end(now)
