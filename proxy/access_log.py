"""The access log: one line per request, JSON or the combined format of Apache and nginx.

Law of this file: the path only keeps a record of plain values; lines are formatted a few at a time and written
by a thread, so that a slow disk or pipe never holds up a request, nor the end of the process. What cannot be
written is counted and reported, never silently lost, and what waits to be written is bounded. A number that two
threads use has one that writes it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import stat
import time
from collections.abc import Callable
from functools import lru_cache
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from .http1.codec import REFERER, USER_AGENT
from .http1.forwarded import client_address
from .metrics import Counters

if TYPE_CHECKING:
    from .exchange import Exchange
    from .plan import AccessLogSpec

BATCH = 64
"""Records that are formatted together."""
MOST_WAITING = 16 * 1024 * 1024
"""Bytes that may wait for a disk; beyond it lines are dropped and counted."""
CLOSE_WITHIN = 2.0
"""Seconds that a disk or pipe has for the last lines when the log is closed."""

FIELD_LIMIT = 2048
"""Bytes of what a client sent that a line shows of each field; a head may hold far more."""
LAST_FIELDS = ("route", "upstream", "backend", "tries", "reason", "request_id", "referer", "user_agent")

_C1 = re.compile(rb"\xc2([\x80-\x9f])")

log = logging.getLogger("qantara")


class Record(NamedTuple):
    """What a line is made of. `at` is the time of day, both times are in seconds."""

    at: float
    seconds: float
    client: str
    method: bytes
    target: bytes
    host: bytes
    minor: int
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

    Of what was refused as no request there is no more than who sent it, why it was refused, and the id that is
    in the answer.
    """
    head, route, client, plan = x.head, x.route, x.client, x.plan
    assert client is not None and plan is not None
    parsed = head.data is not None
    address = client.address
    if client.trusted and parsed:
        address = client_address(head, address, plan.settings.trusts)
    return Record(
        at,
        now - x.started,
        address,
        head.method,
        head.raw_target()[:FIELD_LIMIT] if parsed else b"",
        head.host,
        head.minor,
        x.status,
        x.bytes_in,
        x.bytes_out,
        route.name if route is not None else "",
        route.upstream if route is not None else "",
        x.backend_name,
        x.tries,
        x.reason.name if x.reason is not None else "",
        head.request_id(),
        (head.value(REFERER) or b"")[:FIELD_LIMIT],
        (head.value(USER_AGENT) or b"")[:FIELD_LIMIT],
    )


class Traced(NamedTuple):
    """A record of a request that is traced."""

    record: Record
    trace_id: bytes


def make_traced(x: Exchange, now: float, at: float) -> Traced:
    """As `make_record`, with the id of the trace, which every exchange has by then."""
    return Traced(make_record(x, now, at), x.trace.trace_id if x.trace is not None else b"")


def as_traced_json(traced: Traced) -> bytes:
    """As `as_json`, with the id as the last field."""
    line = as_json(traced.record)
    return b'%b,"trace_id":"%b"}\n' % (line[:-2], traced.trace_id) if traced.trace_id else line


def as_json(record: Record) -> bytes:
    """One line of JSON. Empty fields are left out."""
    at, seconds, client, method, target, host, minor, status, bytes_in, bytes_out, *rest = record
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
        fields["protocol"] = f"HTTP/1.{minor}"
    for name, value in zip(LAST_FIELDS, rest, strict=True):
        if value:
            fields[name] = text(value) if isinstance(value, bytes) else value
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
    line = f"{text(record.method)} {text(record.target)} HTTP/1.{record.minor}" if record.target else "-"
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
TRACED: dict[str, tuple[Callable[[Exchange, float, float], Any], Callable[[Any], bytes]]] = {
    "json": (make_traced, as_traced_json),
    "combined": (make_record, as_combined),
}
"""Where requests are traced: the combined format has no place for an id."""


PIPE_BUF = 4096
"""Bytes that one write puts into a pipe in one piece (pipe(7)); more may be cut by what another worker writes."""


def is_pipe(fd: int) -> bool:
    return stat.S_ISFIFO(os.fstat(fd).st_mode)


def whole_lines(view: memoryview) -> memoryview:
    """As many whole lines as a pipe takes in one piece; a longer line alone."""
    end = bytes(view[:PIPE_BUF]).rfind(b"\n") + 1
    return view[: end or bytes(view).find(b"\n") + 1 or len(view)]


class LogFile:
    """The thread that writes. `put`, `swap` and `close` are called in the loop, the rest runs in the thread."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = open_log(path)
        self._is_pipe = is_pipe(self.fd)
        self.queue: SimpleQueue[bytes | int | None] = SimpleQueue()
        self.put_size = 0
        """Bytes handed over so far: written in the loop."""
        self.done_size = 0
        """Bytes done with so far: written in the thread."""
        self.lost = 0
        """Lines that could not be written: written in the thread."""
        self._failed = False
        self._torn = False
        # a daemon: a pipe that nobody reads must not keep the process alive
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Bytes that are handed over and not yet written."""
        return self.put_size - self.done_size

    def put(self, data: bytes) -> None:
        """Have whole lines written."""
        self.put_size += len(data)
        self.queue.put(data)

    def swap(self, fd: int) -> None:
        """Write what comes from now on to another file."""
        self.queue.put(fd)

    def close(self) -> bool:
        """Wait until everything is written, at most CLOSE_WITHIN. True if it was. Blocks."""
        self.queue.put(None)
        self._thread.join(CLOSE_WITHIN)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (item := self.queue.get()) is not None:
            if isinstance(item, int):
                self._release()
                self.fd = item
                self._is_pipe = is_pipe(item)
            else:
                self._write(item)
                self.done_size += len(item)
        self._release()

    def _release(self) -> None:
        if self.path != "-":
            os.close(self.fd)

    def _write(self, data: bytes) -> None:
        view = memoryview(b"\n" + data if self._torn else data)
        try:
            while view:
                view = view[os.write(self.fd, whole_lines(view) if self._is_pipe else view) :]
            self._failed = self._torn = False
        except OSError as error:
            rest = bytes(view)
            self.lost += rest.count(b"\n")
            self._torn = 0 < len(rest) < len(data) and data[-len(rest) - 1 : -len(rest)] != b"\n"
            if not self._failed:
                log.error("access log %s: %s; lines are dropped until it can be written", self.path, error)
            self._failed = True


def open_log(path: str) -> int:
    """A file descriptor that appends to the log. Raises OSError."""
    return 1 if path == "-" else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)


class AccessLog:
    """Collects records and has them written. `start` and `close` in a loop; `reopen` after a rotation."""

    def __init__(self, spec: AccessLogSpec, counters: Counters | None = None) -> None:
        self.spec = spec
        self.counters = counters or Counters()
        self.make: Callable[[Exchange, float, float], Any] = make_record
        self.format: Callable[[Any], bytes] = FORMATS[spec.format]
        self.records: list[Any] = []
        self.lines: list[bytes] = []
        self.size = 0
        self.dropped = 0
        self.reported = 0
        self.file = LogFile(spec.path)
        self.task: asyncio.Task[None] | None = None
        self._read_clock()

    def start(self) -> None:
        """Begin to flush every `flush` seconds."""
        self.task = asyncio.get_running_loop().create_task(self._flush_regularly())

    def show_traces(self, on: bool) -> None:
        """Whether the lines from now on have the ids of traces."""
        self._format()
        self.make, self.format = make_record, FORMATS[self.spec.format]
        if on:
            self.make, self.format = TRACED[self.spec.format]

    def record(self, x: Exchange, now: float) -> None:
        """Keep the record of an exchange that is over at time `now`."""
        self.records.append(self.make(x, now, now + self.epoch))
        if len(self.records) >= BATCH:
            self._format()
            if self.size >= self.spec.buffer:
                self._hand_over()

    def flush(self) -> None:
        """Format everything and hand it to the writing thread."""
        self._format()
        self._hand_over()

    def _hand_over(self) -> None:
        if not self.lines:
            return
        if self.file.waiting + self.size > MOST_WAITING:
            self.dropped += len(self.lines)
        else:
            self.file.put(b"".join(self.lines))
        self.lines = []
        self.size = 0

    def reopen(self) -> None:
        """Open the file anew, after a rotation has moved it. If that fails, the old one stays in use."""
        if self.spec.path == "-":
            return
        self.flush()
        try:
            self.file.swap(open_log(self.spec.path))
        except OSError as error:
            log.error("access log %s: cannot be opened anew: %s", self.spec.path, error)

    async def close(self) -> None:
        """Write what is left."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.flush()
        if not await asyncio.to_thread(self.file.close):
            log.error("access log %s: the last %d bytes could not be written", self.spec.path, self.file.waiting)
        self._report()

    def _format(self) -> None:
        for record in self.records:
            line = self.format(record)
            self.lines.append(line)
            self.size += len(line)
        self.records = []

    def _read_clock(self) -> None:
        """What to add to monotonic time for the time of day. Read once per flush: the clock may be set."""
        self.epoch = time.time() - monotonic()

    def _report(self) -> None:
        lost = self.dropped + self.file.lost
        if lost > self.reported:
            log.warning("access log %s: %d lines were dropped", self.spec.path, lost - self.reported)
            self.counters.lines_dropped(lost - self.reported)
            self.reported = lost

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.spec.flush)
            self._read_clock()
            self.flush()
            self._report()
