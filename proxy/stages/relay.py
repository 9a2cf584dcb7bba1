"""The way back: what a backend answers, or that it does not, on its way to the client.

Law of this file: a response goes on as it comes, both sides throttled; nothing is kept. Here backends are judged by
what they do to requests, and whether a failed request may go to another is decided (how, is in stages/retry.py).
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from ..errors import CONNECT_LIMIT, UPGRADE_REFUSED, Reason
from ..exchange import Exchange, ReturnStage, Stage
from ..http1.codec import CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE, ResponseHead, mask_of
from ..scoreboard import FAILURES, GATEWAY_ERRORS, RESPONSES, SERVER_ERRORS
from ..upstream.connection import UpstreamConnection
from ..upstream.group import Group
from .finish import answer, finish, settle_keep
from .retry import pause_asked, resendable, retry, rewind

COPY_LIMIT = 16384
"""Bytes of body that are copied behind a head, to send both with one write; more goes out uncopied by writev."""
GATEWAY_STATUSES = frozenset((502, 503, 504))
"""What a backend answers for others: that it cannot be reached or is overloaded (RFC 9110 15.6.3 to 15.6.5)."""
TIMED_OUT = 504
DROP_CODING = mask_of(TRANSFER_ENCODING)
DROP_FRAMING = mask_of(TRANSFER_ENCODING, CONTENT_LENGTH)
NOTHING = 0


class Relay(ReturnStage):
    """relay: the response goes back to the client as it comes; and what to do if it does not come."""

    def __init__(self, group: Group, pick: Stage, send: Stage) -> None:
        self.group = group
        self.pick = pick
        self.send = send

    def room(self, x: Exchange) -> None:
        x.queued = False
        self.pick.enter(x)

    def connected(self, x: Exchange, connection: UpstreamConnection) -> None:
        backend = x.backend
        assert backend is not None
        x.waiting = False
        x.waited = True
        x.reached = monotonic()
        self.group.connect_seconds.observe(x.reached - x.picked)
        x.upstream = connection
        self.send.enter(x)

    def connect_failed(self, x: Exchange, reason: Reason) -> None:
        x.waiting = x.queued = False
        backend = x.backend
        if backend is not None:
            if reason.retryable and reason is not CONNECT_LIMIT:
                backend.count(FAILURES)
                self.group.failed(backend, True, True)
            if retry(x, self.pick, 0.0, True):  # nothing was sent, so any method may go elsewhere
                return
        answer(x, reason)

    def interim(self, x: Exchange, head: ResponseHead) -> None:
        client = x.client
        if client is not None and x.head.minor == 1:  # HTTP/1.0 knows no 1xx (RFC 9110 15.2)
            x.interim_sent = True
            client.send(head.forward(b"", DROP_FRAMING, None, head.end))

    def head(self, x: Exchange, head: ResponseHead, body_end: int, complete: bool) -> None:
        client, backend = x.client, x.backend
        assert client is not None and backend is not None
        backend.rows[backend.own + RESPONSES] += 1
        if complete:
            x.upstream = None
        else:
            x.headed = monotonic()
        if head.status < 500:
            backend.errors_in_row = backend.gateway_in_row = backend.connects_in_row = 0
        if head.status >= 400 and self.rejected(x, head):
            return
        x.responding = True
        x.status = head.status
        x.bytes_out += body_end - head.end
        settle_keep(x)
        open_ended = not complete and not head.chunked and head.content_length < 0
        drop = NOTHING
        if head.status == 204:  # it can have no body, so it may not announce one (RFC 9110 8.6, RFC 9112 6.1)
            drop = DROP_FRAMING
        elif head.chunked and head.status == 304:
            drop = DROP_CODING
        if x.keep and not x.decode_chunks and not open_ended and x.response_edits is None and head.clean(drop):
            data = head.data
            assert data is not None
            client.send(data if body_end == len(data) and head.start == 0 else data[head.start : body_end])
        else:
            self.rebuild(x, head, body_end, open_ended, drop)
        if complete:
            finish(x)

    def rejected(self, x: Exchange, head: ResponseHead) -> bool:
        """Judge a backend by an error status. True if the request is tried elsewhere instead of passing it on."""
        backend, group, status = x.backend, self.group, head.status
        assert backend is not None
        if status >= 500:
            backend.count(SERVER_ERRORS)
            if status in GATEWAY_STATUSES:
                backend.count(GATEWAY_ERRORS)
            group.failed(backend, False, status in GATEWAY_STATUSES)
        if status not in group.spec.retry.statuses or not resendable(x):
            return False
        pause = pause_asked(x, head)
        if pause is None or not retry(x, self.pick, pause):
            return False
        if x.upstream is not None:
            x.upstream.discard()
            x.upstream = None
        return True

    def rebuild(self, x: Exchange, head: ResponseHead, body_end: int, open_ended: bool, drop: int) -> None:
        """Send a response head that differs from the one received."""
        client = x.client
        assert client is not None
        block = b""
        if x.decode_chunks:  # HTTP/1.0: no chunks, so the end of the body is the end of the connection
            if head.chunked:
                drop |= DROP_CODING
            if open_ended or head.chunked:
                x.keep = False
            if x.keep:
                block = b"Connection: keep-alive\r\n"
        elif open_ended:
            x.chunk_body = True
            block = b"Transfer-Encoding: chunked\r\n"
        if not x.keep:
            block += b"Connection: close\r\n"
        edits = x.response_edits
        if x.chunk_body or body_end - head.end > COPY_LIMIT:
            assert head.data is not None
            body = memoryview(head.data)[head.end : body_end]
            start = head.forward(block, drop, edits, head.end)
            if x.chunk_body:
                client.send(start + (chunk(body) if len(body) else b""))
            else:
                client.send_pair(start, body)
        else:
            client.send(head.forward(block, drop, edits, body_end))

    def data(self, x: Exchange, data: Any) -> None:
        client = x.client
        assert client is not None
        x.bytes_out += len(data)
        if x.status == 101 and x.route is not None:
            client.deadline = monotonic() + x.route.tunnel_idle
        client.send(chunk(data) if x.chunk_body else data)

    def end(self, x: Exchange) -> None:
        client = x.client
        assert client is not None
        if x.status == 101:
            client.end_tunnel()
            return
        x.upstream = None
        if x.chunk_body:
            client.send(b"0\r\n\r\n")
        finish(x)

    def failed(self, x: Exchange, reason: Reason, silent: bool) -> None:
        backend, spec = x.backend, self.group.spec.retry
        assert backend is not None
        x.upstream = None
        if x.responding:
            backend.count(FAILURES)
            answer(x, reason)
            return
        if silent and not x.resent and resendable(x):
            rewind(x)
            x.resent = x.waiting = True  # the connection was stale: that is between us and the backend, but only once
            x.tries += 1
            backend.pool.wait(x, True)
            return
        backend.count(FAILURES)
        self.group.failed(backend, False, True)
        if reason.status == TIMED_OUT and self.group.gradient is not None:
            self.group.gradient.timeouts += 1
        # anything else means that the backend has begun to answer, or that the fault is ours
        wanted = spec.timeouts if reason.status == TIMED_OUT else spec.errors and reason.stage == "send"
        if not (wanted and resendable(x) and retry(x, self.pick)):
            answer(x, reason)

    def switched(self, x: Exchange, head: ResponseHead) -> None:
        client, route, data = x.client, x.route, head.data
        assert client is not None and route is not None and data is not None
        x.headed = monotonic()
        protocol = head.value(UPGRADE) or b""
        if protocol.lower() != (x.head.value(UPGRADE) or b"").lower():
            answer(x, UPGRADE_REFUSED)  # it has switched, but to something that this route may not allow
            return
        x.responding = True
        x.status = 101
        x.keep = False
        lines = b"Connection: upgrade\r\nUpgrade: %s\r\n" % protocol
        client.tunnel(route.tunnel_idle)
        client.send(head.forward(lines, DROP_FRAMING, x.response_edits, len(data)))
        x.bytes_out += len(data) - head.end


def chunk(data: Any) -> bytes:
    """One chunk (RFC 9112 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
