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
import stat
import time
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..metrics import Counters
from .log_format import FORMATS, Further, make_record

if TYPE_CHECKING:
    from ..exchange import Exchange
    from ..plan import AccessLogSpec

BATCH = 64
"""Records that are formatted together."""
MOST_WAITING = 16 * 1024 * 1024
"""Bytes that may wait for a disk; beyond it lines are dropped and counted."""
CLOSE_WITHIN = 2.0
"""Seconds that a disk, a pipe or a collector has for the last records when a worker ends."""

log = logging.getLogger("qantara")

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
        # a daemon: a pipe without a reader does not keep the process alive
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
        self.make: Callable[[Exchange, float, float], Any]
        self.format: Callable[[Any], bytes]
        self.records: list[Any] = []
        self.lines: list[bytes] = []
        self.size = 0
        self.dropped = 0
        self.reported = 0
        self.file = LogFile(spec.path)
        self.task: asyncio.Task[None] | None = None
        self.show_traces(False)
        self._read_clock()

    def start(self) -> None:
        """Begin to flush every `flush` seconds."""
        self.task = asyncio.get_running_loop().create_task(self._flush_regularly())

    def show_traces(self, on: bool) -> None:
        """Whether the lines from now on have the ids of traces. The combined format has no place for further fields."""
        self._format()
        names = (*self.spec.fields, "trace_id") if on else self.spec.fields
        if names and self.spec.format == "json":
            further = Further(names)
            self.make, self.format = further.make, further.as_json
        else:
            self.make, self.format = make_record, FORMATS[self.spec.format]

    def record(self, x: Exchange, now: float) -> None:
        """Keep the record of an exchange that is over at time `now`."""
        self.records.append(self.make(x, now, now + self.epoch))
        if len(self.records) >= BATCH:
            self._format()
            if self.size >= self.spec.buffer:
                self._hand_over()

    def flush(self) -> None:
        """Format all records and queue them for the writing thread."""
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
