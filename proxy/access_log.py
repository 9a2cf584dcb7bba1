"""The access log: one line per request, JSON or the combined format of Apache and nginx.

Law of this file: the path only keeps a record of plain values; lines are formatted a few at a time and written by a
thread, so that a slow disk or pipe never holds up a request. What cannot be written is counted and reported, never
silently lost, and what waits to be written is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import orjson

from .exchange import Exchange
from .http1.codec import REFERER, USER_AGENT
from .http1.forwarded import client_address
from .plan import AccessLogSpec

BATCH = 64
"""Records that are formatted together."""
MOST_WAITING = 16 * 1024 * 1024
"""Bytes that may wait for a disk; beyond it lines are dropped and counted."""

log = logging.getLogger("qantara")


class Record(NamedTuple):
    """What a line is made of. Times in seconds."""

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
    referer: bytes | None
    user_agent: bytes | None


def make_record(x: Exchange, now: float) -> Record:
    """The record of an exchange that is over at time `now` (monotonic)."""
    head, route, client, plan = x.head, x.route, x.client, x.plan
    assert client is not None and plan is not None
    parsed = head.data is not None
    address = client.address
    if client.trusted and parsed:
        address = client_address(head, address, plan.settings.trusts)
    return Record(
        time.time(),
        now - x.started,
        address,
        head.method,
        head.raw_target() if parsed else b"",
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
        head.request_id() if parsed else b"",
        head.value(REFERER),
        head.value(USER_AGENT),
    )


def as_json(record: Record) -> bytes:
    """One line of JSON. Empty fields are left out."""
    fields: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.at)) + f".{int(record.at % 1 * 1000):03d}Z",
        "client": record.client,
        "method": text(record.method),
        "host": text(record.host),
        "target": text(record.target),
        "protocol": f"HTTP/1.{record.minor}",
        "status": record.status,
        "seconds": round(record.seconds, 6),
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "route": record.route,
        "upstream": record.upstream,
        "backend": record.backend,
        "tries": record.tries,
        "reason": record.reason,
        "request_id": text(record.request_id),
        "referer": text(record.referer),
        "user_agent": text(record.user_agent),
    }
    return orjson.dumps({key: value for key, value in fields.items() if value != ""}) + b"\n"


def as_combined(record: Record) -> bytes:
    """One line in the combined format."""
    at = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(record.at))
    line = f"{text(record.method)} {text(record.target)} HTTP/1.{record.minor}"
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


FORMATS = {"json": as_json, "combined": as_combined}


class AccessLog:
    """Collects records and writes them. `start` and `close` in a running loop; `reopen` after a rotation."""

    def __init__(self, spec: AccessLogSpec) -> None:
        self.spec = spec
        self.format = FORMATS[spec.format]
        self.records: list[Record] = []
        self.lines: list[bytes] = []
        self.size = 0
        self.writing = 0
        self.dropped = 0
        self.failed = False
        self.fd = self._open()
        self.thread = ThreadPoolExecutor(1, "access-log")
        self.task: asyncio.Task[None] | None = None

    def _open(self) -> int:
        if self.spec.path == "-":
            return 1
        return os.open(self.spec.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def start(self) -> None:
        """Begin to flush every `flush` seconds."""
        self.task = asyncio.get_running_loop().create_task(self._flush_regularly())

    def record(self, x: Exchange, now: float) -> None:
        """Keep the record of an exchange that is over at time `now`."""
        self.records.append(make_record(x, now))
        if len(self.records) >= BATCH:
            self._format()

    def flush(self) -> None:
        """Hand everything to the writing thread."""
        self._format()
        if not self.lines:
            return
        if self.writing + self.size > MOST_WAITING:
            self.dropped += len(self.lines)
        else:
            self.writing += self.size
            self.thread.submit(self._write, b"".join(self.lines))
        self.lines = []
        self.size = 0

    def reopen(self) -> None:
        """Open the file anew, after a rotation has moved it."""
        if self.spec.path != "-":
            self.flush()
            fd = self._open()
            self.thread.submit(self._swap, fd)

    async def close(self) -> None:
        """Write what is left."""
        if self.task is not None:
            self.task.cancel()
        self.flush()
        self._report()
        await asyncio.to_thread(self.thread.shutdown)
        if self.fd != 1:
            os.close(self.fd)

    def _format(self) -> None:
        for record in self.records:
            line = self.format(record)
            self.lines.append(line)
            self.size += len(line)
        self.records = []
        if self.size >= self.spec.buffer:
            self.flush()

    def _write(self, data: bytes) -> None:
        """In the thread."""
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self.fd, view) :]
            self.failed = False
        except OSError as error:
            self.dropped += data.count(b"\n")
            if not self.failed:
                log.error("access log %s: %s; lines are dropped until it can be written", self.spec.path, error)
            self.failed = True
        finally:
            self.writing -= len(data)

    def _swap(self, fd: int) -> None:
        """In the thread."""
        old, self.fd = self.fd, fd
        os.close(old)

    def _report(self) -> None:
        if self.dropped:
            log.warning("access log %s: %d lines were dropped", self.spec.path, self.dropped)
            self.dropped = 0

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(self.spec.flush)
            self.flush()
            self._report()
