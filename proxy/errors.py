"""The reasons of all failures of requests, as one table, and all exceptions of the project.

Law of this file: each local reply, and each aborted request, has one `Reason` from here. A reason is `stage.cause`; the
stage is one of the ten of `pipeline.STAGES`. The name of the reason appears unchanged in the `Proxy-Status` header
(RFC 9209), in the access log and in the metrics. All exceptions of the project are defined here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Reason(NamedTuple):
    """The reason of an error response, or of an aborted request."""

    stage: str
    cause: str
    status: int
    """The status of the response, if none has begun."""
    error: str
    """The error type of RFC 9209 section 2.3, "" for a response that is no error."""
    hint: str
    """One sentence for people: what was wrong and what would be right."""
    retryable: bool = False
    """True if nothing was sent: the request may be retried with any method."""

    @property
    def name(self) -> str:
        return f"{self.stage}.{self.cause}"


def _accept(cause: str, hint: str, status: int = 400, error: str = "http_request_error") -> Reason:
    return Reason("accept", cause, status, error, hint)


def _response(cause: str, hint: str, error: str = "http_protocol_error") -> Reason:
    return Reason("relay", cause, 502, error, hint)


def _chaos(stage: str, retryable: bool = False) -> Reason:
    return Reason(stage, "chaos", 503, "proxy_internal_response", "A fault that a chaos rule has injected.", retryable)


# accept: what the client sent is not a request that may be forwarded (RFC 9110, 9112)
BAD_REQUEST_LINE = _accept("bad_request_line", "The request line is not METHOD SP target SP HTTP/1.x.")
BAD_METHOD = _accept("bad_method", "The method is not a token (RFC 9110 5.6.2).")
BAD_TARGET = _accept("bad_target", "The request target is not a valid path, absolute URI or '*'.")
BAD_VERSION = _accept("bad_version", "Only HTTP/1.1 and HTTP/1.0 are spoken here.", 505)
BAD_LINE_END = _accept("bad_line_end", "A line ends in a bare CR or LF; it must end in CRLF.")
BAD_HEADER_NAME = _accept("bad_header_name", "A header name is not a token followed by a colon.")
BAD_HEADER_VALUE = _accept("bad_header_value", "A header value holds a control byte.")
OBS_FOLD = _accept("obs_fold", "A header line begins with white space (obsolete line folding).")
BAD_HOST = _accept("bad_host", "The Host header is missing, repeated or malformed.")
BAD_CONTENT_LENGTH = _accept("bad_content_length", "Content-Length is not one decimal number.")
LENGTH_AND_CODING = _accept("length_and_coding", "Content-Length and Transfer-Encoding exclude each other.")
BAD_TRANSFER_ENCODING = _accept("bad_transfer_encoding", "Transfer-Encoding must be exactly 'chunked'.")
UNKNOWN_CODING = _accept("unknown_coding", "Only the transfer coding 'chunked' is implemented.", 501)
CODING_IN_HTTP10 = _accept("coding_in_http10", "Transfer-Encoding does not exist in HTTP/1.0.")
BAD_CHUNK = _accept("bad_chunk", "A chunk has a malformed size, extension or line end.")
BAD_TRAILER = _accept("bad_trailer", "A trailer field is malformed or not allowed in trailers.")
TARGET_TOO_LONG = _accept("target_too_long", "The request target is longer than limits.target_size.", 414)
HEAD_TOO_LARGE = _accept("head_too_large", "The request head is larger than limits.head_size.", 431)
TOO_MANY_HEADERS = _accept("too_many_headers", "More header lines than limits.header_count.", 431)
METHOD_REFUSED = _accept("method_refused", "CONNECT and TRACE are not served.", 405, "http_request_denied")
HEAD_TIMEOUT = _accept("head_timeout", "The request head did not arrive within timeouts.head.", 408)
BODY_TIMEOUT = _accept("body_timeout", "The request body stalled for longer than timeouts.body_idle.", 408)
BODY_INCOMPLETE = _accept("body_incomplete", "The client stopped in the middle of a request.")
TOO_MANY_CONNECTIONS = _accept("too_many_connections", "limits.connections are open.", 503, "connection_limit_reached")
TOO_MANY_FROM_CLIENT = _accept(
    "too_many_from_client", "limits.connections_per_client are open.", 429, "connection_limit_reached"
)
ACCEPT_CHAOS = _chaos("accept")

# route
NO_ROUTE = Reason("route", "no_route", 404, "destination_not_found", "No route matches this request.")
REDIRECT = Reason("route", "redirect", 308, "", "The route answers with a redirect.")
FIXED = Reason("route", "fixed", 200, "", "The route answers with a fixed response.")
ROUTE_CHAOS = _chaos("route")

# admit
BODY_TOO_LARGE = Reason(
    "admit", "body_too_large", 413, "http_request_error", "The body is larger than limits.body_size."
)
MAX_FORWARDS = Reason("admit", "max_forwards", 200, "", "Max-Forwards was 0: answered here.")
SHUTTING_DOWN = Reason("admit", "shutting_down", 503, "destination_unavailable", "The proxy is stopping.")
RATE_LIMITED = Reason(
    "admit", "rate_limited", 429, "http_request_denied", "Too many requests; Retry-After says when to send the next."
)
OVERLOADED = Reason(
    "admit", "overloaded", 503, "connection_limit_reached", "The proxy has too much to do for this priority."
)
BREAKER_OPEN = Reason(
    "admit", "breaker_open", 503, "destination_unavailable", "So many requests failed that the upstream is left alone."
)
ADMIT_CHAOS = _chaos("admit")

# lookup
LOOKUP_CHAOS = _chaos("lookup")

# pick
QUEUE_FULL = Reason(
    "pick", "queue_full", 503, "connection_limit_reached", "As many requests wait for this upstream as its queue takes."
)
QUEUE_TIMEOUT = Reason(
    "pick", "queue_timeout", 503, "connection_limit_reached", "The upstream had no room within limits.queue_timeout."
)
NO_BACKEND = Reason("pick", "no_backend", 503, "destination_unavailable", "The upstream has no usable backend.")
PICK_CHAOS = _chaos("pick")

# connect: nothing was sent yet, so another backend may be tried
CONNECT_REFUSED = Reason("connect", "refused", 502, "connection_refused", "The backend refused the connection.", True)
CONNECT_TIMEOUT = Reason(
    "connect", "timeout", 504, "connection_timeout", "The backend did not accept within timeouts.connect.", True
)
CONNECT_UNREACHABLE = Reason(
    "connect", "unreachable", 502, "destination_ip_unroutable", "The backend cannot be reached.", True
)
CONNECT_DNS = Reason("connect", "dns", 502, "dns_error", "The backend's name does not resolve.", True)
CONNECT_LIMIT = Reason(
    "connect", "limit", 502, "proxy_internal_error", "This process has no file descriptors left.", True
)
POOL_FULL = Reason("connect", "pool_full", 503, "connection_limit_reached", "Too many requests wait for this backend.")
POOL_TIMEOUT = Reason("connect", "pool_timeout", 503, "connection_limit_reached", "No connection became free in time.")
CONNECT_CHAOS = _chaos("connect", True)

# send
SEND_RESET = Reason("send", "reset", 502, "connection_terminated", "The backend closed before it answered.")
SEND_CHAOS = _chaos("send")

# relay: what the backend sent is not a response that may be forwarded
RESPONSE_TIMEOUT = Reason(
    "relay", "head_timeout", 504, "http_response_timeout", "No response head within timeouts.response_head."
)
RESPONSE_STALLED = Reason(
    "relay", "idle_timeout", 504, "connection_read_timeout", "The response stalled beyond timeouts.response_idle."
)
REQUEST_TIMEOUT = Reason(
    "relay", "request_timeout", 504, "http_response_timeout", "The exchange took longer than timeouts.request."
)
WRITE_TIMEOUT = Reason(
    "relay", "client_stalled", 408, "connection_write_timeout", "The client stopped reading the response."
)
RESPONSE_INCOMPLETE = _response(
    "incomplete", "The backend closed in the middle of its response.", "http_response_incomplete"
)
BAD_STATUS_LINE = _response("bad_status_line", "The backend's status line is malformed.")
BAD_RESPONSE_HEADER = _response("bad_header", "A header line of the backend's response is malformed.")
BAD_RESPONSE_LENGTH = _response("bad_content_length", "The response's Content-Length is not one number.")
BAD_RESPONSE_CODING = _response(
    "bad_transfer_encoding",
    "The response's Transfer-Encoding is not exactly 'chunked'.",
    "http_response_transfer_coding",
)
BAD_RESPONSE_FRAMING = _response("length_and_coding", "The response has both a length and a transfer coding.")
BAD_RESPONSE_CHUNK = _response("bad_chunk", "A chunk of the response is malformed.", "http_response_transfer_coding")
RESPONSE_HEAD_TOO_LARGE = _response(
    "head_too_large", "The response head is larger than limits.head_size.", "http_response_header_section_size"
)
UPGRADE_REFUSED = _response(
    "unasked_upgrade", "The backend switched to a protocol that it was not asked for.", "http_upgrade_failed"
)
TOO_MANY_INTERIM = _response("too_many_interim", "The backend sent too many 1xx responses.")
CLIENT_GONE = Reason("relay", "client_gone", 499, "", "The client left before the response was complete.")
RELAY_CHAOS = _chaos("relay")

# store
STORE_CHAOS = _chaos("store")

INTERNAL = Reason("finish", "internal", 500, "proxy_internal_error", "A defect of the proxy; see its log.")
FINISH_CHAOS = _chaos("finish")

REASONS: tuple[Reason, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Reason))


class QantaraError(Exception):
    """Base of every error that this project raises."""


class ProtocolError(QantaraError):
    """A peer sent bytes that are not HTTP/1.1."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.name}: {reason.hint}")
        self.reason = reason


class Problem(NamedTuple):
    """One thing wrong in a configuration file. `line` and `column` count from 1; 0 means unknown."""

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(QantaraError):
    """A configuration that is refused whole; `problems` holds everything that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class RefusedAt(QantaraError, ValueError):
    """A section of the configuration that only the code can refuse; `path` leads from the section to the wrong key."""

    def __init__(self, path: tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


class BindError(QantaraError):
    """A listener could not be opened: the address is in use, not allowed, or not of this machine."""


class WorkerLost(BindError):
    """A worker has died, or does not respond: the result of the request to it is unknown."""


class ControlError(QantaraError):
    """A request to a running proxy has failed."""


class NobodyServes(ControlError):
    """No proxy listens at the control socket."""


class BoardFull(QantaraError):
    """There are more backends or upstreams than the scoreboard has rows for."""


class DiscoveryError(QantaraError):
    """Backends could not be found, added or removed; the message is a sentence for people."""


class WriteBackError(QantaraError):
    """The configuration file was not changed: it is another one than was loaded, or cannot be edited in place."""


class PolicyTooSlow(QantaraError):
    """A balancing algorithm of a user's own has held requests up too often; treated as if it had raised by itself."""


class ReportRefused(QantaraError, ValueError):
    """Something is wrong with a load report (upstream/load/orca.py); never goes further than the parser."""


class ChaosRefused(QantaraError):
    """A chaos experiment may not run; `refusals` holds every reason, in words."""

    def __init__(self, refusals: Sequence[str]) -> None:
        super().__init__("; ".join(refusals))
        self.refusals = tuple(refusals)
