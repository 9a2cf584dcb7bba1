"""One call of the gRPC health protocol: grpc.health.v1.Health/Check, over HTTP/2 without TLS.

Law of this file: one call on one connection, bounded in bytes; the caller bounds the time. What is wrong comes back
in words. The two messages have one field each, so they are written and read here (Protocol Buffers encoding).

Source: github.com/grpc/grpc, doc/health-checking.md and doc/PROTOCOL-HTTP2.md.
"""

from __future__ import annotations

import asyncio
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

PATH = "/grpc.health.v1.Health/Check"
MOST = 65_536
"""Bytes that an answer may have."""
STREAM = 1
STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
CODES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
    "UNAUTHENTICATED"
).split()


class GrpcCall:
    """What has come of the answer so far."""

    def __init__(self) -> None:
        self.over = False
        self.wrong = ""
        self.fields: dict[str, str] = {}
        """Headers and trailers."""
        self.body = b""

    def take(self, event: Event) -> None:
        """Something has come."""
        if isinstance(event, ResponseReceived | TrailersReceived):
            self.fields |= {_text(name): _text(value) for name, value in event.headers}
        elif isinstance(event, DataReceived):
            self.body += event.data
        elif isinstance(event, StreamEnded):
            self.over = True
        elif isinstance(event, StreamReset):
            self.over, self.wrong = True, f"the call was reset (HTTP/2 error {event.error_code})"
        elif isinstance(event, ConnectionTerminated):
            self.over, self.wrong = True, f"the server closed the connection (HTTP/2 error {event.error_code})"

    def verdict(self) -> str:
        """What is wrong; "" if the service is serving."""
        fields = self.fields
        if self.wrong:
            return self.wrong
        if fields.get(":status") != "200":
            return f"status {fields.get(':status', 'missing')}: no gRPC server"
        if not fields.get("content-type", "").startswith("application/grpc"):
            return f"content-type {fields.get('content-type', 'missing')!r}: no gRPC server"
        code = fields.get("grpc-status", "missing")
        if code != "0":
            name = CODES[int(code)] if code.isdigit() and int(code) < len(CODES) else code
            told = unquote(fields.get("grpc-message", ""))[:200]
            return f"gRPC status {name}" + (f": {told}" if told else "")
        return self._status()

    def _status(self) -> str:
        if len(self.body) < 5 or self.body[0] != 0 or int.from_bytes(self.body[1:5]) != len(self.body) - 5:
            return "the answer is no gRPC message"
        message = self.body[5:]
        if message and (message[0] != 0x08 or len(message) != 2):  # field 1, a varint below 128
            return "the answer is no HealthCheckResponse"
        status = message[1] if message else 0
        if status == 1:
            return ""
        return STATUSES[status] if status < len(STATUSES) else f"unknown status {status}"


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def request_of(service: str) -> bytes:
    """A HealthCheckRequest with its frame."""
    name = service.encode()
    message = b"" if not name else b"\x0a" + bytes([len(name)]) + name
    return b"\x00" + len(message).to_bytes(4) + message


async def check(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    authority: str,
    service: str,
    metadata: tuple[tuple[str, str], ...] = (),
) -> str:
    """Ask whether a service (of at most 127 bytes, "" for the server as a whole) is serving. What is wrong; "" if it
    is. Raises OSError if the connection breaks."""
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    headers = [(":method", "POST"), (":scheme", "http"), (":path", PATH), (":authority", authority)]
    headers += [("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", "qantara")]
    connection.send_headers(STREAM, [*headers, *((name.lower(), value) for name, value in metadata)])
    connection.send_data(STREAM, request_of(service), end_stream=True)
    writer.write(connection.data_to_send())
    call, size = GrpcCall(), 0
    while not call.over:
        data = await reader.read(MOST)
        size += len(data)
        if not data:
            return "the server closed the connection before it answered"
        if size == len(data) and data.startswith(b"HTTP/"):  # h2 would wait for a frame of 4 MiB
            return "the server does not speak HTTP/2, it answers in HTTP/1"
        if size > MOST:
            return f"the answer has more than {MOST} bytes"
        try:
            for event in connection.receive_data(data):
                call.take(event)
        except ProtocolError as error:
            return f"the server does not speak HTTP/2: {error or type(error).__name__}"
        writer.write(connection.data_to_send())
    return call.verdict()
