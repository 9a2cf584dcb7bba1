"""The proxy's own numbers as experiments look at them, read from the scoreboard.

Law of this file: it reads and writes nothing. Numbers are summed over the slots of all workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import monotonic, monotonic_ns

from ...errors import CLIENT_GONE
from ...metrics import HISTOGRAM_CELLS, REASON_CELLS
from ...scoreboard import C_BROKEN_OFF, C_HISTOGRAMS, C_IN_FLIGHT, C_REQUESTS, C_STATUSES, Scoreboard
from ...upstream.backend import Backend
from ...upstream.spec import GroupSpec
from .contract import Member, Sample, UpstreamState

SERVER_ERROR = 5
"""Hundreds of the status."""


def sample(board: Scoreboard) -> Sample:
    """What all workers have done so far."""
    heads = [board.slot_head(slot) for slot in range(1, board.slots)]
    seconds = [0] * HISTOGRAM_CELLS
    requests = errors = gone = in_flight = 0
    for head in heads:
        in_flight += head[C_IN_FLIGHT]  # also where nothing has ever been answered
        if not head[C_REQUESTS]:
            continue
        requests += head[C_REQUESTS]
        errors += head[C_STATUSES + SERVER_ERROR] + head[C_BROKEN_OFF]
        gone += head[REASON_CELLS[CLIENT_GONE.name]]
        for cell, count in enumerate(head[C_HISTOGRAMS : C_HISTOGRAMS + HISTOGRAM_CELLS]):
            seconds[cell] += count
    return Sample(monotonic(), requests, errors, gone, in_flight, tuple(seconds))


def upstreams(board: Scoreboard, specs: Iterable[GroupSpec]) -> Mapping[str, UpstreamState]:
    """The backends of these upstreams as they are."""
    return {spec.name: _upstream(board, spec) for spec in specs}


def _upstream(board: Scoreboard, spec: GroupSpec) -> UpstreamState:
    now_ns = monotonic_ns()
    found = [Backend(each, board.backend_rows(spec.name, each.address), board) for each in spec.backends]
    rotating = [backend for backend in found if backend.in_rotation()]
    healthy = {backend.name for backend in rotating if backend.healthy_at(now_ns)}
    members = tuple(Member(backend.name, backend.name in healthy) for backend in found)
    return UpstreamState(members, bool(rotating) and len(healthy) < spec.panic * len(rotating))
