"""The bytes after a request head on a client connection: its body, pipelined requests, a tunnel.

Law of this file: bytes are read only while they have a receiver. Each progress of a request moves its deadline here.
"""

from __future__ import annotations

from time import monotonic

from ...deadlines import NEVER
from ...errors import BODY_TOO_LARGE, ProtocolError
from ...exchange import Exchange
from ...http1.framing import BodyReader
from ...stages.finish import finish, local_error
from ..acceptor import Acceptor
from ..client_socket import BODY, BUSY, TUNNEL
from .response import ResponseWriter

PIPELINED_LIMIT = 65536
"""Bytes of pipelined requests that are buffered while an exchange is in flight; then reading is paused."""


class StreamingSocket(ResponseWriter):
    """A client connection after the end of a request head."""

    def __init__(self, acceptor: Acceptor) -> None:
        super().__init__(acceptor.counters, acceptor.log)
        self.acceptor = acceptor
        self.x: Exchange | None = None
        """The exchange in flight."""
        self.body: BodyReader | None = None
        self.held: bytes | None = None
        """Pipelined bytes, from `held_at` on."""
        self.held_at = 0

    def begin_body(self, x: Exchange, data: bytes, end: int) -> int:
        """Read the part of the body that came with the head. Returns the offset after it, -1 if it was refused."""
        body = self.body
        if body is None:
            body = self.body = BodyReader()
        if x.head.chunked:
            body.begin_chunks(False, False, self.acceptor.plan.settings.head_size)
        else:
            body.begin_length(x.head.content_length)
        try:
            out = body.feed(data, end)
        except ProtocolError as error:
            self.state = BODY  # more of the body may arrive: linger after the response
            local_error(x, error.reason)
            return -1
        x.bytes_in = body.total
        if len(out):
            x.body = out
        if body.done:
            x.request_done = True
        else:
            self.state = BODY
        return body.end

    def read_body_bytes(self, data: bytes) -> None:
        x, body = self.x, self.body
        if x is None or body is None:
            return
        try:
            out = body.feed(data, 0)
        except ProtocolError as error:
            local_error(x, error.reason)
            return
        x.bytes_in = body.total
        if x.route is not None and body.total > x.route.body_size:
            local_error(x, BODY_TOO_LARGE)
            return
        if body.done:
            self._end_body(x)
        else:
            self.pace_body(x, monotonic())
        if len(out):
            x.request_data(out)
        if body.done and body.end < len(data):
            self.hold(data[body.end :])

    def _end_body(self, x: Exchange) -> None:
        """The request is complete."""
        self.state = BUSY
        x.request_complete(monotonic())
        if not self.write_paused:
            self.set_request_deadline(x, 0.0)

    def pace_body(self, x: Exchange, now: float) -> None:
        """Set the deadline for more of the body, unless it has no receiver."""
        if x.attempt.upstream is None:
            self.stop_reading()
        elif not self.write_paused:
            self.set_request_deadline(x, now)

    def latest(self, x: Exchange) -> float:
        """The deadline of the whole exchange."""
        if x.route is None or self.state == TUNNEL:
            return NEVER
        return x.started + x.route.request_timeout

    def set_request_deadline(self, x: Exchange, now: float) -> None:
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
        if self.read_paused:
            self.resume_reading()

    def pause_reading(self) -> None:
        if self.state == BODY or self.state == TUNNEL:
            self.stop_reading()
            if self.x is not None and not self.write_paused:
                self.set_request_deadline(self.x, monotonic())

    def resume_reading(self) -> None:
        self.start_reading()
        if self.state == BODY and self.x is not None and not self.write_paused:
            self.set_request_deadline(self.x, monotonic())

    def hold(self, data: bytes) -> None:
        """Buffer pipelined bytes until the end of the exchange in flight."""
        if self.held is not None:
            data = self.held[self.held_at :] + data
        self.held = data
        self.held_at = 0
        if len(data) > PIPELINED_LIMIT:
            self.stop_reading()

    # --- tunnels ---

    def begin_tunnel(self, idle: float) -> None:
        self.state = TUNNEL
        self.deadline = monotonic() + idle
        self.start_reading()  # before the write, which may pause the reading
        held = self.held
        x = self.x
        upstream = x.attempt.upstream if x is not None else None
        if held is not None and upstream is not None:
            self.held = None
            upstream.write(held[self.held_at :])
        if self.eof and upstream is not None:
            upstream.end_input()

    def end_tunnel(self, x: Exchange) -> None:
        self.backend_eof = True
        if self.eof or self.transport.is_closing() or not self.transport.can_write_eof():
            self.close_tunnel(x)
        else:
            self.transport.write_eof()

    def read_tunnel_bytes(self, data: bytes) -> None:
        x = self.x
        upstream = x.attempt.upstream if x is not None else None
        if x is not None and upstream is not None:
            x.bytes_in += len(data)
            if not self.write_paused and x.route is not None:
                self.deadline = monotonic() + x.route.tunnel_idle
            upstream.write(data)

    def close_tunnel(self, x: Exchange) -> None:
        upstream = x.attempt.upstream
        if upstream is not None:
            x.let_go()
            upstream.close_gently(monotonic() + self.acceptor.plan.settings.send_idle)
        finish(x)
