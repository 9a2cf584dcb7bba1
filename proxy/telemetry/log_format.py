"""Lines of the access log: a record of plain values, made on the path, and its formats.

Law of this file: a record is made of what the exchange knows anyway. A line parses whatever a client has sent, and
ends where it should. Optional fields are read only where the configuration names them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ..deadlines import NEVER
from ..http1.codec import REFERER, USER_AGENT

if TYPE_CHECKING:
    from ..exchange import Exchange

FIELD_LIMIT = 2048
"""Bytes of each field of a client that a line, or a span, shows; a head may hold far more."""
LAST_FIELDS = ("route", "upstream", "backend", "tries", "reason", "request_id", "referer", "user_agent")

_C1 = re.compile(rb"\xc2([\x80-\x9f])")


class Record(NamedTuple):
    """What a line is made of. `at` is the time of day, both times are in seconds."""

    at: float
    seconds: float
    client: str
    method: bytes
    target: bytes
    host: bytes
    version: str
    status: int
    bytes_in: int
    bytes_out: int
    route: str
    upstream: str
    backend: str
    tries: int
    reason: str
    request_id: bytes
    referer: bytes
    user_agent: bytes


def make_record(x: Exchange, now: float, at: float) -> Record:
    """The record of an exchange that is over at time `now` (monotonic), which is the time of day `at`.

    Of a head that was refused as no request it has the client, the reason, and the id in the answer.
    """
    head, route = x.head, x.route
    parsed = head.data is not None
    return Record(
        at,
        now - x.started,
        x.client_address(),
        head.method,
        head.raw_target()[:FIELD_LIMIT] if parsed else b"",
        head.host,
        head.version,
        x.status,
        x.bytes_in,
        x.bytes_out,
        route.name if route is not None else "",
        route.upstream if route is not None else "",
        x.attempt.backend_name,
        x.tries,
        x.reason.name if x.reason is not None else "",
        head.request_id(),
        (head.value(REFERER) or b"")[:FIELD_LIMIT],
        (head.value(USER_AGENT) or b"")[:FIELD_LIMIT],
    )


def as_json(record: Record) -> bytes:
    """One line of JSON. Empty fields are left out."""
    return dumped(fields_of(record))


def fields_of(record: Record) -> dict[str, Any]:
    """The fields of a line, in their order."""
    at, seconds, client, method, target, host, version, status, bytes_in, bytes_out, *rest = record
    fields: dict[str, Any] = {
        "time": f"{day_and_second(int(at))}.{int(at % 1 * 1000):03d}Z",
        "client": client,
        "status": status,
        "seconds": round(seconds, 6),
        "bytes_in": bytes_in,
        "bytes_out": bytes_out,
    }
    if target:
        fields["method"] = text(method)
        fields["host"] = text(host)
        fields["target"] = text(target)
        fields["protocol"] = f"HTTP/{version}"
    for name, value in zip(LAST_FIELDS, rest, strict=True):
        if value:
            fields[name] = text(value) if isinstance(value, bytes) else value
    return fields


def dumped(fields: dict[str, Any]) -> bytes:
    """A line that no value can end or disturb."""
    line = orjson.dumps(fields)
    if not line.isascii():  # U+0080 to U+009F control terminals, and U+0085 ends a line for some readers
        line = _C1.sub(lambda match: b"\\u00%02x" % match[1][0], line)
    return line + b"\n"


@lru_cache(4)
def day_and_second(second: int) -> str:
    """ISO 8601 in UTC; many lines share a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(4)
def combined_time(second: int) -> str:
    """The time in the combined format, in UTC."""
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))


def as_combined(record: Record) -> bytes:
    """One line in the combined format."""
    at = combined_time(int(record.at))
    line = f"{text(record.method)} {text(record.target)} HTTP/{record.version}" if record.target else "-"
    return (
        f'{record.client} - - [{at}] "{quoted(line)}" {record.status} {record.bytes_out}'
        f' "{quoted(text(record.referer)) or "-"}" "{quoted(text(record.user_agent)) or "-"}"\n'
    ).encode()


def text(value: bytes | None) -> str:
    return value.decode("latin-1") if value else ""


def quoted(value: str) -> str:
    """Escape what could end a quoted field or a line."""
    if value.isprintable() and '"' not in value and "\\" not in value:
        return value
    return "".join(c if c.isprintable() and c not in '"\\' else f"\\x{ord(c):02x}" for c in value)


FORMATS: dict[str, Callable[[Any], bytes]] = {"json": as_json, "combined": as_combined}


# --- optional fields ------------------------------------------------------------------------------------------


def backends_of(x: Exchange, now: float) -> list[str] | None:
    """The backends that were asked, in this order: all but the last have failed it, or were too slow."""
    names, last = x.attempted or [], x.attempt.backend_name
    return names if not last or names[-1:] == [last] else [*names, last]


def queue_time(x: Exchange, now: float) -> float | None:
    """Seconds in the queue of the upstream, over all tries; None if the request never came that far."""
    return round(x.attempt.queued_for, 6) if x.attempt.backend_name or x.attempt.queued_for else None


def connect_time(x: Exchange, now: float) -> float | None:
    """Seconds from the pick to the connection, of the last try; None if there was none."""
    if not x.attempt.backend_name or x.attempt.connected_at == NEVER:
        return None
    return round(x.attempt.connected_at - x.attempt.picked, 6) if x.attempt.connected_at > x.attempt.picked else 0.0


def header_time(x: Exchange, now: float) -> float | None:
    """Seconds from the pick to the head of the response, of the last try; None if there was none."""
    return round((x.attempt.head_at or now) - x.attempt.picked, 6) if x.responding else None


def trace_id(x: Exchange, now: float) -> str | None:
    """Every exchange that is traced has one by then."""
    return text(x.trace.trace_id) if x.trace is not None else None


FURTHER: dict[str, Callable[[Exchange, float], Any]] = {
    "backends": backends_of,
    "queue_time": queue_time,
    "upstream_connect_time": connect_time,
    "upstream_header_time": header_time,
    "trace_id": trace_id,
}


class Further:
    """Lines of JSON that have further fields behind the usual ones; what has no value is left out."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.readers = [FURTHER[name] for name in names]

    def make(self, x: Exchange, now: float, at: float) -> tuple[Record, list[Any]]:
        """As `make_record`, with the values of these fields."""
        return make_record(x, now, at), [read(x, now) for read in self.readers]

    def as_json(self, made: tuple[Record, list[Any]]) -> bytes:
        """As `as_json`, with these fields."""
        record, values = made
        fields = fields_of(record)
        for name, value in zip(self.names, values, strict=True):
            if value not in (None, "", []):
                fields[name] = value
        return dumped(fields)
