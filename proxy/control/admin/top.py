"""What `qantara top` shows: numbers that a difference is taken of, and the top talkers.

Law of this file: it reads. Counters are sums over all workers since the start; a rate is the difference of two.
"""

from __future__ import annotations

import os
from time import monotonic
from typing import Any

from aiohttp import web

from ...metrics import HISTOGRAM_CELLS, REASON_CELLS
from ...scoreboard import (
    C_BYTES_OUT,
    C_CONNECTIONS,
    C_CONNECTIONS_OPEN,
    C_HISTOGRAMS,
    C_IN_FLIGHT,
    C_REQUESTS,
    C_STATUSES,
)
from ...telemetry.top_talkers import DIMENSIONS, merged, top
from .answers import answer
from .contract import Control, WorkerStatus
from .guard import refused
from .views import upstream_view

MOST = 100
PAGE, TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


class TopEndpoints:
    """GET /top and /top/talkers."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/top", self.numbers), web.get("/top/talkers", self.talkers)]

    async def numbers(self, _: web.Request) -> web.Response:
        """Everything that `qantara top` needs, at one moment."""
        control = self.control
        heads = [control.board.slot_head(slot) for slot in range(1, control.board.slots)]
        heads = [head for head in heads if head[C_REQUESTS] or head[C_CONNECTIONS]]

        def total(cell: int) -> int:
            return sum(int(head[cell]) for head in heads)

        seconds = [total(C_HISTOGRAMS + cell) for cell in range(HISTOGRAM_CELLS)]
        reasons = {name: count for name, cell in REASON_CELLS.items() if (count := total(cell))}
        return answer(
            {
                "at": monotonic(),
                "requests": total(C_REQUESTS),
                "in_flight": total(C_IN_FLIGHT),
                "connections": total(C_CONNECTIONS_OPEN),
                "bytes_out": total(C_BYTES_OUT),
                "statuses": {f"{hundred}xx": total(C_STATUSES + hundred) for hundred in range(1, 6)},
                "seconds": seconds,
                "reasons": reasons,
                "workers": [_worker(each) for each in control.worker_status()],
                "upstreams": [_without_checks(upstream_view(control, spec)) for spec in control.specs().values()],
            }
        )

    async def talkers(self, request: web.Request) -> web.Response:
        """Top talkers: ?by=client, host, path, route or upstream; &limit=10."""
        by, text = request.query.get("by", "client"), request.query.get("limit", "10")
        if by not in DIMENSIONS:
            return refused(400, f"by: must be {', '.join(DIMENSIONS[:-1])} or {DIMENSIONS[-1]}, not {by[:40]!r}")
        if not text.isdigit() or not 1 <= int(text) <= MOST:
            return refused(400, f"limit: must be a number from 1 to {MOST}, not {text[:40]!r}")
        parts: list[Any] = await self.control.ask_all("talkers", by)
        found = top(merged(parts), int(text))
        return answer(
            [
                {by: name, "share": round(share, 4), "errors": round(count.errors / (count.requests or 1.0), 4)}
                for name, count, share in found
            ]
        )


def _worker(status: WorkerStatus) -> dict[str, Any]:
    """A worker with its memory (bytes) and the CPU time (seconds) that it has used."""
    memory, cpu = 0, 0.0
    try:
        with open(f"/proc/{status.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        cpu, memory = (int(fields[11]) + int(fields[12])) / TICKS, int(fields[21]) * PAGE
    except (OSError, IndexError, ValueError):  # it has just ended
        pass
    return {**status._asdict(), "memory": memory, "cpu_seconds": cpu}


def _without_checks(view: dict[str, Any]) -> dict[str, Any]:
    for backend in view["backends"]:
        del backend["checks"]
    return view
