"""One connection to a client.

Law of this file: it turns bytes into exchanges, one at a time and in order, and paces both sides: it stops reading
while there is nowhere for a body to go, and takes no further request while the client does not read. A connection
always has a deadline that fits its state, so that it cannot be held open for nothing.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ..deadlines import NEVER
from ..errors import (
    BODY_INCOMPLETE,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    CLIENT_GONE,
    HEAD_TIMEOUT,
    REQUEST_TIMEOUT,
    SHUTTING_DOWN,
    WRITE_TIMEOUT,
    ProtocolError,
    Reason,
)
from ..exchange import Client, Exchange
from ..http1.codec import ChunkedDecoder, HeadBuffer
from ..http1.forwarded import ALL_FORWARDING, REPLACED, static_lines
from ..pipeline import abandon, answer, detach, finish, start
from ..plan import Plan
from .acceptor import Acceptor

READY, BODY, BUSY, TUNNEL, LINGER, CLOSING, CLOSED = range(7)
VIEW_FROM = 4096
"""Bytes from which a part of what was received is handed on as a view instead of a copy."""
LINGER_SECONDS = 2.0
LINGER_BYTES = 1024 * 1024
HELD_LIMIT = 65536
"""Bytes of pipelined requests that are kept while an exchange is in flight; then reading stops."""
WRITE_HIGH = 262144
"""Bytes that wait for a slow client before the backend is throttled."""


class ClientConnection(Client):
    """asyncio protocol facing a client."""

    def __init__(self, acceptor: Acceptor) -> None:
        super().__init__()
        # per process
        self.acceptor = acceptor
        self.counters = acceptor.counters
        self.log = acceptor.log
        # per connection
        self.transport: Any = None
        self.plan: Plan | None = None
        self.state = READY
        self.served = 0
        self.most_requests = 0
        self.gather: HeadBuffer | None = None
        self.held: bytes | None = None
        self.held_at = 0
        self.working = False
        self.eof = False
        self.write_paused = False
        self.read_paused = False
        self.lingered = 0
        # per request
        self.x: Exchange | None = None
        self.decoder: ChunkedDecoder | None = None
        self.left = 0
        self.backend_eof = False

    # --- what asyncio tells ---

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else "unix"
        transport.set_write_buffer_limits(WRITE_HIGH)
        acceptor = self.acceptor
        self._adopt(acceptor.plan)
        refusal = acceptor.admit(self, self.address)
        now = monotonic()
        self.deadline = now + acceptor.plan.settings.head_timeout
        if refusal is None and acceptor.stopping:
            refusal = SHUTTING_DOWN
        if refusal is not None:
            self._refuse(acceptor.take(), refusal, now)

    def data_received(self, data: bytes) -> None:
        state = self.state
        if state == READY:
            if self.gather is not None:
                self._gather_head(data)
            elif self.held is not None:
                self._hold(data)
            else:
                self._read_requests(data, 0)
        elif state == BODY:
            self._read_body_bytes(data)
        elif state == BUSY:
            self._hold(data)
        elif state == TUNNEL:
            self._read_tunnel_bytes(data)
        elif state == LINGER:
            self.lingered += len(data)
            if self.lingered > LINGER_BYTES:
                self.transport.abort()

    def eof_received(self) -> bool:
        state = self.state
        x = self.x
        self.eof = True
        if state == BODY and x is not None:
            answer(x, BODY_INCOMPLETE)
            return True
        if state == BUSY and x is not None:  # it may have closed only its sending side: answer, if it comes soon
            x.keep = False
            if not x.responding:
                self.deadline = monotonic() + self.acceptor.plan.settings.half_close
            return True
        if state == TUNNEL and x is not None:
            if self.backend_eof:
                self._close_tunnel(x)
            elif x.upstream is not None:
                x.upstream.write_eof()
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = CLOSED
        self.deadline = NEVER
        self.acceptor.forget(self, self.address)
        x = self.x
        if x is not None:
            abandon(x, CLIENT_GONE)
        self.gather = None
        self.held = None

    def pause_writing(self) -> None:
        self.write_paused = True
        self.deadline = monotonic() + self.acceptor.plan.settings.send_idle
        x = self.x
        if x is not None and x.upstream is not None:
            x.upstream.pause_reading()

    def resume_writing(self) -> None:
        self.write_paused = False
        x = self.x
        if x is not None:
            self._set_request_deadline(x, monotonic())
            if x.upstream is not None:
                x.upstream.resume_reading()
        elif self.state == READY:
            self.deadline = monotonic() + self.acceptor.plan.settings.keepalive
            self._go_on()

    def expire(self, now: float) -> None:
        state, x = self.state, self.x
        if x is not None:
            self._expire_request(x)
        elif state == READY and self.gather is not None and not self.write_paused:
            self._refuse(self.acceptor.take(), HEAD_TIMEOUT, now)
        elif state == READY and not self.write_paused:
            self._close(now)
        elif state != CLOSED:
            self.transport.abort()

    def _expire_request(self, x: Exchange) -> None:
        if self.write_paused:
            x.responding = True  # nothing more can be said to a client that does not read
            answer(x, WRITE_TIMEOUT)
        elif self.eof and not x.responding:
            self.transport.abort()
        elif self.state == TUNNEL:
            self._close_tunnel(x)
        else:
            answer(x, BODY_TIMEOUT if self.state == BODY else REQUEST_TIMEOUT)

    # --- heads ---

    def _read_requests(self, data: bytes, at: int) -> None:
        """Begin requests until one is in flight or the bytes run out."""
        size = len(data)
        self.working = True
        while at < size and self.state == READY and not self.write_paused:
            at = self._read_request(data, at, size)
        self.working = False
        if at < size and self.state < LINGER:
            self.held = data
            self.held_at = at
            if size - at > HELD_LIMIT or self.write_paused:
                self._stop_reading()

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
        if self.served >= self.most_requests or acceptor.stopping:
            self.may_keep = False
        self.counters.in_flight += 1
        self.x = x
        x.begin(self, plan, now)
        self.state = BUSY
        if x.head.chunked:
            end = self._begin_chunked(x, data, end)
        elif x.head.content_length > 0:
            end = self._begin_length(x, data, end, size)
        else:
            x.request_done = True
        if end >= 0:
            start(x)
            if self.state == BODY and self.x is x:
                self._pace_body(x, now)
            return end
        return size

    def _gather_head(self, data: bytes) -> None:
        """A head that comes in pieces."""
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
        """What came is no request: say so, and close."""
        self.gather = None
        self.counters.in_flight += 1
        self.x = x
        self.state = BODY  # there may be more of it: linger after the answer
        x.refuse(self, self.acceptor.plan, now)
        answer(x, reason)

    def _adopt(self, plan: Plan) -> None:
        """Take up a plan: what it says about this peer."""
        self.plan = plan
        settings = plan.settings
        self.most_requests = settings.requests_per_connection
        self.trusted = settings.trusts(self.address)
        mode = settings.forwarded
        self.forwarded_static = not self.trusted and mode in ("x-forwarded", "none")
        self.forwarded = static_lines(mode, self.address, self.scheme, settings.via)
        self.forwarded_host = mode in ("x-forwarded", "both")
        self.forwarded_drop = ALL_FORWARDING
        if self.trusted:
            self.forwarded_drop = 0 if mode == "none" else REPLACED

    # --- request bodies ---

    def _begin_chunked(self, x: Exchange, data: bytes, end: int) -> int:
        decoder = ChunkedDecoder(False, False, self.acceptor.plan.settings.head_size)
        try:
            body = decoder.feed(data, end)
        except ProtocolError as error:
            answer(x, error.reason)
            return -1
        x.bytes_in = decoder.total
        if body:
            x.body = body
        if decoder.done:
            x.request_done = True
            return decoder.end
        self.decoder = decoder
        self.state = BODY
        return len(data)

    def _begin_length(self, x: Exchange, data: bytes, end: int, size: int) -> int:
        have = size - end
        want = x.head.content_length
        if have >= want:
            x.request_done = True
            x.body = data[end : end + want]
            x.bytes_in = want
            return end + want
        if have > VIEW_FROM:
            x.body = memoryview(data)[end:]
        elif have:
            x.body = data[end:]
        x.bytes_in = have
        self.left = want - have
        self.state = BODY
        return size

    def _read_body_bytes(self, data: bytes) -> None:
        x = self.x
        if x is None:
            return
        size = len(data)
        rest = size
        if self.decoder is not None:
            self._read_chunked_bytes(x, self.decoder, data)
            return
        if size < self.left:
            self.left -= size
            self._pace_body(x, monotonic())
        else:
            rest = self.left
            self.left = 0
            self._end_body(x)
        x.bytes_in += rest
        x.request_data(data if rest == size else data[:rest])
        if rest < size:
            self._hold(data[rest:])

    def _read_chunked_bytes(self, x: Exchange, decoder: ChunkedDecoder, data: bytes) -> None:
        try:
            body = decoder.feed(data, 0)
        except ProtocolError as error:
            answer(x, error.reason)
            return
        x.bytes_in = decoder.total
        if x.route is not None and decoder.total > x.route.body_size:
            answer(x, BODY_TOO_LARGE)
            return
        if decoder.done:
            self._end_body(x)
        else:
            self._pace_body(x, monotonic())
        if body:
            x.request_data(body)
        if decoder.done and decoder.end < len(data):
            self._hold(data[decoder.end :])

    def _end_body(self, x: Exchange) -> None:
        """The request is complete."""
        x.request_done = True
        self.decoder = None
        self.state = BUSY
        if not self.write_paused:
            self._set_request_deadline(x, 0.0)

    def _pace_body(self, x: Exchange, now: float) -> None:
        """More of the body is due; but only if there is somewhere for it to go."""
        if x.upstream is None:
            self._stop_reading()
        elif not self.write_paused:
            self._set_request_deadline(x, now)

    def _set_request_deadline(self, x: Exchange, now: float) -> None:
        route = x.route
        if route is None:
            return
        if self.state == TUNNEL:
            self.deadline = now + route.tunnel_idle
            return
        self.deadline = x.started + route.request_timeout
        if self.state == BODY and not self.read_paused and now + route.body_idle < self.deadline:
            self.deadline = now + route.body_idle

    def read_body(self) -> None:
        self._start_reading()

    def pause_reading(self) -> None:
        if self.state == BODY or self.state == TUNNEL:
            self._stop_reading()
            if self.x is not None and not self.write_paused:
                self._set_request_deadline(self.x, monotonic())

    def resume_reading(self) -> None:
        self._start_reading()

    def _stop_reading(self) -> None:
        if not self.read_paused and not self.eof and self.state != CLOSED:
            self.read_paused = True
            self.transport.pause_reading()

    def _start_reading(self) -> None:
        if self.read_paused and self.state != CLOSED:
            self.read_paused = False
            if not self.eof and not self.transport.is_closing():
                self.transport.resume_reading()
            if self.state == BODY and self.x is not None and not self.write_paused:
                self._set_request_deadline(self.x, monotonic())

    # --- between requests ---

    def _hold(self, data: bytes) -> None:
        """Keep pipelined bytes for after the exchange in flight."""
        if self.held is not None:
            data = self.held[self.held_at :] + data
        self.held = data
        self.held_at = 0
        if len(data) > HELD_LIMIT:
            self._stop_reading()

    def _go_on(self) -> None:
        """Begin what was held."""
        data = self.held
        if data is not None and not self.working:
            self.held = None
            self._start_reading()
            self._read_requests(data, self.held_at)

    def send(self, data: Any) -> None:
        if self.state != CLOSED and not self.transport.is_closing():
            self.transport.write(data)

    def send_pair(self, head: bytes, body: Any) -> None:
        if self.state != CLOSED and not self.transport.is_closing():
            self.transport.writelines((head, body))

    def finished(self, x: Exchange, keep: bool, now: float) -> None:
        self.x = None
        self.decoder = None
        self.acceptor.give(x)
        if self.state == CLOSED or self.state == CLOSING:
            return
        if not keep or self.eof:
            self._close(now)
            return
        self.state = READY
        if self.write_paused:
            return
        self.deadline = now + self.acceptor.plan.settings.keepalive
        if self.held is not None:
            self._go_on()

    # --- the end ---

    def _close(self, now: float) -> None:
        """Close so that the client gets everything: if it may still be sending, end our side first and read on.

        Closing a socket with unread bytes makes the kernel reset it, and the reset may overtake the response.
        """
        self.held = None
        self.deadline = now + LINGER_SECONDS
        if self.state == BODY and not self.eof and not self.transport.is_closing():
            self.state = LINGER
            self._start_reading()
            self.transport.write_eof()
        else:
            if self.write_paused or self.transport.get_write_buffer_size():
                self.deadline = now + self.acceptor.plan.settings.send_idle
            self.state = CLOSING
            self.transport.close()

    def retire(self, now: float) -> None:
        """The worker stops: an idle connection closes, a busy one after its response."""
        self.may_keep = False
        if self.x is None and self.state == READY:
            self._close(now)

    def cut(self) -> None:
        if self.state != CLOSED:
            self.state = CLOSING
            self.transport.abort()

    # --- tunnels ---

    def tunnel(self, idle: float) -> None:
        self.state = TUNNEL
        self.deadline = monotonic() + idle
        held = self.held
        x = self.x
        if held is not None and x is not None and x.upstream is not None:
            self.held = None
            x.upstream.write(held[self.held_at :])
        self._start_reading()

    def end_tunnel(self) -> None:
        self.backend_eof = True
        x = self.x
        if x is not None and (self.eof or self.transport.is_closing()):
            self._close_tunnel(x)
        else:
            self.transport.write_eof()

    def _read_tunnel_bytes(self, data: bytes) -> None:
        x = self.x
        if x is not None and x.upstream is not None:
            x.bytes_in += len(data)
            if not self.write_paused and x.route is not None:
                self.deadline = monotonic() + x.route.tunnel_idle
            x.upstream.write(data)

    def _close_tunnel(self, x: Exchange) -> None:
        detach(x)
        finish(x)
