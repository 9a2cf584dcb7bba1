"""One connection to a backend that speaks HTTP/1.1.

Law of this file: a connection serves one request at a time, and returns to its pool only if request and response
are both complete, both sides keep it alive, and no unannounced byte has arrived. In any other case it is closed: bytes
of a backend never reach the next client.
"""

from __future__ import annotations

import logging
import select
from time import monotonic
from typing import Any

from ..deadlines import NEVER
from ..errors import (
    INTERNAL,
    RESPONSE_INCOMPLETE,
    RESPONSE_STALLED,
    RESPONSE_TIMEOUT,
    SEND_RESET,
    TOO_MANY_INTERIM,
    UPGRADE_REFUSED,
    ProtocolError,
    Reason,
)
from ..http1.codec import ResponseHead
from ..http1.framing import BodyReader
from .ports import OutgoingRequest, Requester, UpstreamStream

log = logging.getLogger("qantara")

IDLE, AWAITING, BODY, UNTIL_CLOSE, TUNNEL, CLOSED = range(6)
MOST_INTERIM = 16
"""The largest number of 1xx responses to one request; beyond it the request fails."""


class Http1Connection(UpstreamStream):
    """asyncio protocol facing a backend."""

    def __init__(self, pool: Any, head_size: int, head_count: int) -> None:
        # per connection
        self.deadline = NEVER
        self.pool = pool
        self.transport: Any = None
        self.write_now: Any = None
        """The transport's method, looked up once; `is_closing` too."""
        self.is_closing: Any = None
        self.born = monotonic()
        self.served = 0
        self.head = ResponseHead()
        self.head.max_size = head_size
        self.head.max_count = head_count
        self.body = BodyReader()
        self.poll: Any = None
        # per request
        self.state = CLOSED
        self.requester: Requester | None = None
        self.partial: bytes | None = None
        self.interims = 0

    # --- called by the pipeline ---

    def send(self, requester: Requester, request: OutgoingRequest, body: Any, deadline: float) -> None:
        block = request.fields.lines
        if request.own is not None:
            block += request.own.lines
        head = request.head.forward(request.path, block, request.drop, request.add_host, request.upgrade, request.edits)
        self.requester = requester
        self.state = AWAITING
        self.deadline = deadline
        if body is None:
            self.write_now(head)
        else:  # one writev instead of two writes
            self.transport.writelines((head, body))

    def expect_head(self, deadline: float) -> None:
        if self.state == AWAITING:
            self.deadline = deadline

    def write(self, data: Any) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def end_input(self) -> None:
        transport = self.transport
        if not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
            else:  # over TLS one side cannot end alone
                transport.close()

    def pause_reading(self) -> None:
        if self.state != CLOSED:
            self.transport.pause_reading()
            self.deadline = NEVER  # the client is slow, not the backend

    def resume_reading(self) -> None:
        if self.state != CLOSED:
            self.transport.resume_reading()
            if self.requester is not None and self.state != TUNNEL:
                self.deadline = monotonic() + self.requester.response_idle

    def usable(self) -> bool:
        return self.state == IDLE and not self.is_closing()

    def give_back(self) -> None:
        if self.usable():
            self.pool.release(self)
        else:
            self.discard()

    def is_quiet(self) -> bool:
        if self.poll is None:
            self.poll = select.poll()
            self.poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self.poll.poll(0)

    def discard(self) -> None:
        self.requester = None
        if self.state != CLOSED:
            self.state = CLOSED
            self.pool.forget(self)
            self.transport.abort()

    def close_gently(self, deadline: float) -> None:
        self.requester = None
        if self.state != CLOSED:
            self.state = CLOSED
            self.pool.forget(self)
            self.pool.sweep.watched.add(self)
            self.deadline = deadline
            self.transport.close()

    # --- callbacks of asyncio ---

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.write_now = transport.write
        self.is_closing = transport.is_closing
        self.state = IDLE

    def data_received(self, data: bytes) -> None:
        requester = self.requester
        try:
            self._read(data)
        except Exception:
            log.exception("a defect of the proxy, while reading from a backend")
            if self.requester is requester:  # else the connection belongs to another request by now
                self._fail(INTERNAL)

    def _read(self, data: bytes) -> None:
        state = self.state
        if state == AWAITING:
            self._head_bytes(data)
        elif state == BODY:
            self._body_bytes(data)
        elif state == UNTIL_CLOSE or state == TUNNEL:
            self._raw_bytes(data)
        else:  # idle: there was no request
            self.discard()

    def eof_received(self) -> bool:
        if self.state == TUNNEL and self.requester is not None:
            self.requester.end(())
            return True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        state, requester = self.state, self.requester
        silent = self.served > 0 and self.partial is None and self.interims == 0
        self.requester = None
        if state == CLOSED:
            self.pool.sweep.watched.discard(self)
            return
        self.state = CLOSED
        self.pool.forget(self)
        if requester is None:
            return
        if exc is None and (state == UNTIL_CLOSE or state == TUNNEL):
            requester.end(())
        elif state == AWAITING and self.partial is None:
            requester.failed(SEND_RESET, silent)
        else:
            requester.failed(RESPONSE_INCOMPLETE, False)

    def pause_writing(self) -> None:
        requester = self.requester
        if requester is not None:
            if self.state == AWAITING:
                self.deadline = monotonic() + requester.response_head
            requester.pause()

    def resume_writing(self) -> None:
        requester = self.requester
        if requester is not None:
            if self.state == AWAITING and not requester.request_done:
                self.deadline = NEVER
            requester.resume()

    def expire(self, now: float) -> None:
        if self.state == CLOSED:
            self.transport.abort()
        elif self.requester is not None:
            self._fail(RESPONSE_TIMEOUT if self.state == AWAITING else RESPONSE_STALLED)
        else:
            self.discard()

    # --- the response ---

    def _head_bytes(self, data: bytes) -> None:
        head = self.head
        requester = self.requester
        if self.partial is not None:
            data = self.partial + data
        start = 0
        assert requester is not None
        try:
            end = head.parse(data, 0)
            while end and head.status < 200 and head.status != 101:
                self._interim(requester, head)
                start = end
                end = head.parse(data, start) if start < len(data) else 0
        except ProtocolError as error:
            self._fail(error.reason)
            return
        if end == 0:
            self.partial = data[start:] if start < len(data) else None
            return
        self.partial = None
        if head.status == 101:
            self._switch(requester, head)
        else:
            self._begin_body(requester, head, data, end)

    def _interim(self, requester: Requester, head: ResponseHead) -> None:
        self.interims += 1
        if self.interims > MOST_INTERIM:
            raise ProtocolError(TOO_MANY_INTERIM)
        requester.interim(head)

    def _begin_body(self, requester: Requester, head: ResponseHead, data: bytes, end: int) -> None:
        """Determine the end of the body (RFC 9112 6.3) and pass on its part that came with the head."""
        have = len(data) - end
        length = head.content_length
        if requester.head_only or head.status == 204 or head.status == 304:
            self._complete(requester, have == 0, end)
        elif head.chunked:
            self._begin_chunked(requester, head, data, end)
        elif length >= 0:
            if have >= length:
                self._complete(requester, have == length, end + length)
            else:
                self.state = BODY
                self.body.begin_length(length - have)
                self.deadline = monotonic() + requester.response_idle
                requester.response(head, len(data), False)
        else:
            self.state = UNTIL_CLOSE
            self.deadline = monotonic() + requester.response_idle
            requester.response(head, len(data), False)

    def _begin_chunked(self, requester: Requester, head: ResponseHead, data: bytes, end: int) -> None:
        body = self.body
        body.begin_chunks(requester.decode_body, True, head.max_size)
        try:
            out = body.feed(data, end)
        except ProtocolError as error:
            self._fail(error.reason)
            return
        whole = not requester.decode_body and len(out) == body.end - end
        if body.done and whole:
            self._complete(requester, body.end == len(data), body.end)
            return
        self.state = BODY
        self.deadline = monotonic() + requester.response_idle
        requester.response(head, len(data) if whole else end, False)
        if not whole:
            self._hand_on(requester, out, len(data))

    def _hand_on(self, requester: Requester, out: Any, size: int) -> None:
        """Pass on body bytes, and finish if they were the last; unless the client has disconnected meanwhile."""
        if self.requester is requester and len(out):
            requester.data(out)
        if self.requester is requester and self.body.done:
            self._release(requester, self.body.end == size)
            self.head.release()
            requester.end(self.body.trailers if requester.decode_body else ())

    def _complete(self, requester: Requester, clean: bool, body_end: int) -> None:
        """Pass on a head with its whole body: release the connection first, so that the next request may use it."""
        head = self.head
        self._release(requester, clean)
        requester.response(head, body_end, True)
        head.release()

    def _release(self, requester: Requester, clean: bool) -> None:
        """Return it to the pool, or close it if this exchange forbids reuse."""
        head = self.head
        self.requester = None
        self.served += 1
        self.interims = 0
        wanted = not head.close if head.minor == 1 else head.keep_alive
        if clean and wanted and requester.request_done:
            self.state = IDLE
            self.pool.release(self)
        else:
            self.discard()

    def _body_bytes(self, data: bytes) -> None:
        requester = self.requester
        assert requester is not None
        try:
            out = self.body.feed(data, 0)
        except ProtocolError as error:
            self._fail(error.reason)
            return
        self.deadline = monotonic() + requester.response_idle
        self._hand_on(requester, out, len(data))

    def _raw_bytes(self, data: bytes) -> None:
        requester = self.requester
        assert requester is not None
        if self.state == UNTIL_CLOSE:
            self.deadline = monotonic() + requester.response_idle
        requester.data(data)

    def _switch(self, requester: Requester, head: ResponseHead) -> None:
        if not requester.upgrading:
            self._fail(UPGRADE_REFUSED)
            return
        self.state = TUNNEL
        self.deadline = NEVER
        requester.switched(head)
        head.release()

    def _fail(self, reason: Reason) -> None:
        requester = self.requester
        self.discard()
        if requester is not None:
            requester.failed(reason, False)
