"""The differential fuzz: what Qantara accepts and forwards, h11 reads as the same single message.

Where h11 differs and is not the one in error, `explained_*` says so, with the RFC section. Everything else
fails.
"""

from __future__ import annotations

from itertools import takewhile
from typing import Any

import h11
from hypothesis import event, given
from hypothesis import strategies as st

from proxy.errors import ProtocolError
from proxy.http1.codec import ChunkedDecoder, RequestHead, ResponseHead

from .grammar import chunked_bodies, damaged, requests, responses

VIA = b"Via: 1.1 qantara\r\n"


class Read:
    """One message as h11 understands it, and what it left unread."""

    def __init__(self, connection: h11.Connection, data: bytes) -> None:
        connection.receive_data(data)
        self.head: Any = connection.next_event()
        self.body = b""
        self.trailers: list[tuple[bytes, bytes]] = []
        self.complete = False
        while not self.complete:
            got = connection.next_event()
            if isinstance(got, h11.Data):
                self.body += bytes(got.data)
            elif isinstance(got, h11.EndOfMessage):
                self.trailers = list(got.headers)
                self.complete = True
            else:
                break
        self.rest = connection.trailing_data[0]


def server() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)


def client() -> h11.Connection:
    """h11 waiting for the response to a request, which offered an upgrade so that 101 is one."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "b")]))
    connection.send(h11.EndOfMessage())
    return connection


def lower(items: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Header lines as h11 shows them: names in lower case, the transfer coding as well."""
    return [(name.lower(), value.lower() if name.lower() == b"transfer-encoding" else value) for name, value in items]


def body_for(head: RequestHead | ResponseHead, payload: bytes, chunked: bytes) -> bytes | None:
    """What follows the head on the wire. None if it would be refused, or is not complete."""
    if head.chunked:
        decoder = ChunkedDecoder()
        try:
            out = bytes(decoder.feed(chunked, 0))
        except ProtocolError:
            return None
        return out if decoder.done else None
    if head.content_length > 100:
        return None
    return (payload * 100)[: max(head.content_length, 0)]


def payload_of(wire: bytes, chunked: bool) -> bytes:
    return bytes(ChunkedDecoder(True).feed(wire, 0)) if chunked else wire


@given(damaged(requests()), st.binary(min_size=1, max_size=20), chunked_bodies())
def test_requests(data: bytes, payload: bytes, chunked: bytes) -> None:
    head = RequestHead()
    try:
        if not head.parse(data, 0):
            return
    except ProtocolError:
        event("refused")
        return
    sent = head.forward(None, VIA, 0, True, head.upgrade, None)
    wire = body_for(head, payload, chunked)
    if wire is None:
        return
    event("forwarded")
    following = b"GET /following HTTP/1.1\r\nHost: a\r\n\r\n"
    read = Read(server(), sent + wire + following)
    assert isinstance(read.head, h11.Request) and read.complete
    assert read.head.method == head.method
    path = head.path if head.rewritten else head.raw_target().partition(b"?")[0]
    assert read.head.target == path + head.query_string()
    assert read.head.http_version == b"1.1"
    again = RequestHead()
    again.max_count = 1000  # forwarding adds lines
    if head.host_header():
        assert again.parse(sent, 0) == len(sent)
        assert lower(again.items()) == list(read.head.headers)
        assert (again.content_length, again.chunked) == (head.content_length, head.chunked)
        assert again.host == head.host
    hosts = [value for name, value in read.head.headers if name == b"host"]
    assert hosts == [head.host_header()]
    assert read.body == payload_of(wire, head.chunked)
    assert read.rest == following


def explained_response(head: ResponseHead) -> bool:
    """Responses that h11 does not read as they are, and why Qantara does.

    1xx: RFC 9110 15.2 has only 100 to 199 interim; h11 reads them as InformationalResponse, which has no end.
    Statuses from 600: h11 takes them, RFC 9110 15 has a client treat them as 5xx; no difference.
    A Content-Length in 204 or 304 announces nothing (RFC 9112 6.3 rule 1): the connection
    knows that, not the codec.
    """
    return head.status < 200 or head.status in (204, 304)


@given(damaged(responses()), st.binary(min_size=1, max_size=20), chunked_bodies())
def test_responses(data: bytes, payload: bytes, chunked: bytes) -> None:
    head = ResponseHead()
    try:
        end = head.parse(data, 0)
    except ProtocolError:
        event("refused")
        return
    wire = body_for(head, payload, chunked) if end else None
    if wire is None:
        return
    event("forwarded")
    sent = head.forward(VIA, 0, None, head.end)
    again = ResponseHead()
    assert again.parse(sent, 0) == len(sent)
    connection = client()
    if explained_response(head):
        connection.receive_data(sent)
        got: Any = connection.next_event()
        assert got.status_code == head.status and list(got.headers) == lower(again.items())
        return
    framed = head.chunked or head.content_length >= 0
    wire = wire if framed else payload
    read = Read(connection, sent + wire)
    assert isinstance(read.head, h11.Response)
    assert (read.head.status_code, list(read.head.headers)) == (head.status, lower(again.items()))
    assert read.body == payload_of(wire, head.chunked)
    assert read.complete is framed, "without a length the body ends with the connection"
    assert read.rest == b""


@given(damaged(chunked_bodies()))
def test_chunked_bodies(data: bytes) -> None:
    """The payload and the trailers that are forwarded, whatever extensions came with them."""
    decoder = ChunkedDecoder()
    try:
        out = bytes(decoder.feed(data, 0))
    except ProtocolError:
        event("refused")
        return
    if not decoder.done:
        return
    event("forwarded")
    read = Read(
        server(),
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + out + data[decoder.end :],
    )
    assert read.complete and read.body == payload_of(out, True)
    assert read.rest == data[decoder.end :]
    lines = reversed(out[:-4].split(b"\r\n"))
    trailers = [line.partition(b":") for line in takewhile(lambda line: line.strip(b"0"), lines)]
    assert read.trailers == [(name.lower(), value.strip(b" \t")) for name, _, value in reversed(trailers)]
