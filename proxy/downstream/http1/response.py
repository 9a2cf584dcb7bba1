"""Responses on an HTTP/1.1 connection: framing, Connection, and unchanged pass-through.

Law of this file: a response that equals the received one is passed on in one piece. The persistence of connections and
the framing of bodies is decided here and nowhere above (RFC 9112 6 and 9).
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ...exchange import Exchange
from ...http.local_replies import LocalReply
from ...http1.codec import CONTENT_LENGTH, TRANSFER_ENCODING, ResponseHead, mask_of
from ...http1.framing import Trailers
from ...http1.rendering import render
from ...metrics import Counters
from ..client_socket import TUNNEL, ClientSocket

COPY_LIMIT = 16384
"""Bytes of body that are copied behind a head, to send both with one write; more goes out uncopied by writev."""
DROP_CODING = mask_of(TRANSFER_ENCODING)
DROP_FRAMING = mask_of(TRANSFER_ENCODING, CONTENT_LENGTH)
NOTHING = 0


class ResponseWriter(ClientSocket):
    """The port of an exchange towards a client, written as HTTP/1.1."""

    def __init__(self, counters: Counters, log: Any) -> None:
        super().__init__(counters, log)
        self.may_keep = True
        """Whether the connection may serve another request after this one."""
        self.keep = False
        """Whether the exchange in flight leaves the connection open."""
        self.chunk_body = False
        """Whether the body of the response is chunked here."""
        self.backend_eof = False

    def last(self) -> None:
        self.keep = False

    def interim(self, x: Exchange, head: ResponseHead) -> bool:
        if x.http10:  # HTTP/1.0 has no 1xx (RFC 9110 15.2)
            return False
        self.send(head.forward(b"", DROP_FRAMING, None, head.end))
        return True

    def respond(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        if not x.request_done or not self.may_keep:  # more of the request to come, or no further one allowed
            self.keep = False
        open_ended = not complete and not head.chunked and head.content_length < 0
        drop = NOTHING
        if head.status == 204:  # it can have no body, so it may not announce one (RFC 9110 8.6, RFC 9112 6.1)
            drop = DROP_FRAMING
        elif head.chunked and head.status == 304:
            drop = DROP_CODING
        if self.keep and not x.decode_body and not open_ended and x.response_edits is None and head.clean(drop):
            data = head.data
            self.send(data if body_end == len(data) and head.start == 0 else data[head.start : body_end])
        else:
            self._rebuild(x, head, body_end, open_ended, drop)

    def _rebuild(self, x: Exchange, head: ResponseHead, body_end: int, open_ended: bool, drop: int) -> None:
        """Send a response head that differs from the one received."""
        block = b""
        decoded = x.decode_body and head.chunked
        if decoded:
            drop |= DROP_CODING
        if x.http10:  # no chunks, so the end of the body is the end of the connection
            if open_ended or head.chunked:
                self.keep = False
            if self.keep:
                block = b"Connection: keep-alive\r\n"
        elif open_ended or (decoded and not x.head_only and head.status not in (204, 304)):
            self.chunk_body = True
            block = b"Transfer-Encoding: chunked\r\n"
        if not self.keep:
            block += b"Connection: close\r\n"
        edits = x.response_edits
        if self.chunk_body or body_end - head.end > COPY_LIMIT:
            body = memoryview(head.data)[head.end : body_end]
            start = head.forward(block, drop, edits, head.end)
            if self.chunk_body:
                self.send(start + (chunk(body) if len(body) else b""))
            else:
                self.send_pair(start, body)
        else:
            self.send(head.forward(block, drop, edits, body_end))

    def data(self, x: Exchange, data: Any) -> None:
        self.send(chunk(data) if self.chunk_body else data)

    def end(self, x: Exchange, trailers: Trailers) -> None:
        if self.chunk_body:
            self.send(b"0\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in trailers]))

    def local_reply(self, x: Exchange, reply: LocalReply, close: bool) -> int:
        if close or not x.request_done or not self.may_keep:
            self.keep = False
        payload = render(reply, x.http10, self.keep, x.head_only)
        self.send(payload)
        return len(payload)

    def abort(self, x: Exchange) -> None:
        self.keep = False
        self.cut(x.http10)  # only the close ends its body: an ordinary one would pass for the end

    def reset(self, x: Exchange) -> None:
        self.keep = False
        self.cut(True)

    def tunnel(self, x: Exchange, head: ResponseHead, protocol: bytes, idle: float) -> None:
        self.keep = False
        self.begin_tunnel(idle)
        block = b"Connection: upgrade\r\nUpgrade: %b\r\n" % protocol
        self.send(head.forward(block, DROP_FRAMING, x.response_edits, len(head.data)))

    def begin_tunnel(self, idle: float) -> None:
        """Switch to a tunnel: bytes are passed on unchanged."""
        raise NotImplementedError

    def tunnel_data(self, x: Exchange, data: Any, idle: float) -> None:
        if self.state == TUNNEL:
            self.deadline = monotonic() + idle
        self.send(data)


def chunk(data: Any) -> bytes:
    """One chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
