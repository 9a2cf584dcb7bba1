"""The thread that sends traces, one for each worker.

Law of this file: the loop never waits for it. What waits is bounded by the tracer; a collector that is dead, slow or
refuses costs its batch and nothing else, and the end of the process at most CLOSE_WITHIN. Each cell that the thread
counts in is its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from threading import Event, Thread
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from ...features.tracing.recorder import Finished, Tracer
from ...features.tracing.trace import Rules
from ...plan import TraceSpec
from ...scoreboard import C_TRACES_EXPORTED, C_TRACES_FAILED
from ...telemetry.access_log import CLOSE_WITHIN

log = logging.getLogger("qantara")


def load_packages() -> None:
    """Import what sending needs: a third of a second, the first time. Not in the loop."""
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: F401

    from . import spans  # noqa: F401


async def open_tracing(spec: TraceSpec | None, cells: Any) -> TraceExport | None:
    """The running export of a plan; None if it has none. `cells` are the head of the worker's slot."""
    if spec is None:
        return None
    await asyncio.to_thread(load_packages)
    tracing = TraceExport(spec, cells)
    tracing.thread.start()
    return tracing


class TraceExport:
    """A tracer, and the thread that sends what it keeps."""

    def __init__(self, spec: TraceSpec, cells: Any) -> None:
        self.spec = spec
        self.cells = cells
        self.tracer = Tracer(spec, Rules(spec), cells)
        self._full = Event()
        self.tracer.wake = self._full.set
        self._ending = False
        self._failing = False
        self._exporter = make_exporter(spec)
        self._resource: Any = None
        # a daemon: a collector that does not answer must not keep the process alive
        self.thread = Thread(target=self._run, name="traces", daemon=True)

    def end(self) -> bool:
        """Have the last traces sent, within CLOSE_WITHIN. True if that was enough. Blocks."""
        self._ending = True
        self._full.set()
        self.thread.join(CLOSE_WITHIN)
        if self.thread.is_alive():
            self._exporter.shutdown()  # it sends nothing again from now on
            return False
        return True

    async def close(self) -> None:
        """Send what is left."""
        if not await asyncio.to_thread(self.end):
            log.warning("tracing: %s is too slow for the last traces; they are lost", self._place())

    # --- in the thread ---

    def _run(self) -> None:
        waiting = self.tracer.waiting
        while True:
            self._full.wait(self.spec.interval)
            self._full.clear()
            ending = self._ending
            while waiting:
                self._send([waiting.popleft() for _ in range(min(len(waiting), self.spec.batch))])
            if ending:
                self._exporter.shutdown()
                return

    def _send(self, batch: Sequence[Finished]) -> None:
        sent = False
        try:
            sent = self._export(batch)
        except Exception:
            log.exception("a defect of the proxy, while sending traces")
        self.cells[C_TRACES_EXPORTED if sent else C_TRACES_FAILED] += len(batch)
        if sent == self._failing:
            self._failing = not sent
            if sent:
                log.info("tracing: %s takes traces again", self._place())
            else:
                log.warning("tracing: %s does not take traces; until it does they are lost", self._place())

    def _export(self, batch: Sequence[Finished]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        from .spans import resource_of, spans_of

        epoch = time.time() - monotonic()
        if self._resource is None:
            self._resource = resource_of(self.spec)
        spans = [span for done in batch for span in spans_of(done, self._resource, epoch)]
        return bool(self._exporter.export(spans) is SpanExportResult.SUCCESS)

    def _place(self) -> str:
        return urlsplit(self.spec.endpoint).netloc


def make_exporter(spec: TraceSpec) -> Any:
    """The exporter of the opentelemetry packages, with its own log of failures off: this file has one."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    logging.getLogger("opentelemetry.exporter.otlp").setLevel(logging.CRITICAL)
    return OTLPSpanExporter(endpoint=spec.endpoint, headers=dict(spec.headers), timeout=spec.timeout)
