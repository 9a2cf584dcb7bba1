"""Upstreams and backends as the admin API shows them: numbers of the scoreboard, and the reasons behind each state.

Law of this file: it reads. Sums are over all workers.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from time import monotonic_ns
from typing import Any

from ...metrics import HISTOGRAM_CELLS as CELLS
from ...metrics import (
    U_ACTIVE,
    U_CEILING,
    U_FINISH,
    U_OPEN_UNTIL,
    U_QUEUE_EXPIRED,
    U_QUEUE_LENGTH,
    U_QUEUE_REFUSED,
    U_RETRIES,
    U_RETRIES_REFUSED,
    Histogram,
)
from ...scoreboard import (
    CONNECT_FAILURES,
    CONNECTIONS,
    DOWN,
    EJECTED_FOR,
    EJECTED_UNTIL,
    EJECTION_CAUSES,
    EJECTIONS,
    FAILURES,
    HEALTH,
    IN_FLIGHT,
    MICROSECONDS,
    READY,
    REPORTED_STATE,
    REQUESTS,
    RESPONSES,
    RETRIES,
    ROW,
    SERVER_ERRORS,
    STATE,
    STATES,
    UPSTREAM_ROW,
    Scoreboard,
)
from ...upstream.backend import Backend, BackendSpec
from ...upstream.panic import in_panic
from ...upstream.spec import GroupSpec
from .contract import Control

COUNTED = {
    "in_flight": IN_FLIGHT,
    "connections": CONNECTIONS,
    "requests": REQUESTS,
    "responses": RESPONSES,
    "server_errors": SERVER_ERRORS,
    "failures": FAILURES,
    "connect_failures": CONNECT_FAILURES,
    "retries": RETRIES,
    "ejections": EJECTIONS,
}
HEALTH_WORDS = ("unchecked", "up", "down")


def total(rows: memoryview, cell: int) -> int:
    """The sum of a cell of a backend's rows over all workers."""
    return int(sum(rows[cell + ROW :: ROW]))


def upstream_total(board: Scoreboard, upstream: str, cell: int) -> int:
    """The sum of a cell of an upstream's rows over all workers."""
    return int(sum(board.upstream_rows(upstream)[cell + UPSTREAM_ROW :: UPSTREAM_ROW]))


def latest(board: Scoreboard, upstream: str, cell: int) -> int:
    """The highest value of a cell of an upstream's rows in any worker."""
    return int(max(board.upstream_rows(upstream)[cell + UPSTREAM_ROW :: UPSTREAM_ROW]))


def upstream_histogram(board: Scoreboard, upstream: str, start: int) -> list[int]:
    """A histogram of an upstream, summed over all workers."""
    rows = board.upstream_rows(upstream)
    found = [0] * CELLS
    for slot in range(1, board.used):
        begin = slot * UPSTREAM_ROW + start
        found = [have + more for have, more in zip(found, rows[begin : begin + CELLS], strict=True)]
    return found


def ejection(rows: Any, now_ns: int) -> tuple[str, float] | None:
    """Why a backend is ejected, and for how many more seconds; None if it is not."""
    until, slot = max((int(rows[start + EJECTED_UNTIL]), start) for start in range(0, len(rows), ROW))
    if until <= now_ns:
        return None
    return EJECTION_CAUSES[rows[slot + EJECTED_FOR]], (until - now_ns) / 1e9


def state_of(rows: Any, now_ns: int) -> tuple[str, str]:
    """The state of a backend in one word, and why it is that."""
    if rows[STATE] != READY:
        return STATES[rows[STATE]], "an operator said so"
    if rows[REPORTED_STATE] != READY:
        return STATES[rows[REPORTED_STATE]], "the backend says so of itself"
    if rows[HEALTH] == DOWN:
        return "down", "active checks failed"
    ejected = ejection(rows, now_ns)
    if ejected is not None:
        return "ejected", f"{ejected[0]}, for {ejected[1]:.1f} s more"
    return "ready", "active checks are good" if rows[HEALTH] else "nothing speaks against it"


def backend_view(control: Control, upstream: str, spec: BackendSpec) -> dict[str, Any]:
    """One backend: what it is, why, and what it did."""
    rows = control.board.backend_rows(upstream, spec.address)
    state, why = state_of(rows, monotonic_ns())
    answered = total(rows, RESPONSES)
    target = control.health_checks.targets.get((upstream, spec.address))
    return {
        "address": spec.address,
        "state": state,
        "why": why,
        "weight": Backend(spec, rows, control.board).wanted_weight(),
        "configured_weight": spec.weight,
        "region": spec.region,
        "zone": spec.zone,
        "priority": spec.priority,
        "labels": dict(spec.labels),
        "operator": STATES[rows[STATE]],
        "reported": STATES[rows[REPORTED_STATE]],
        "health": HEALTH_WORDS[rows[HEALTH]],
        "checks": [record._asdict() for record in target.records] if target is not None else [],
        **{name: total(rows, cell) for name, cell in COUNTED.items()},
        "mean_seconds": total(rows, MICROSECONDS) / 1e6 / answered if answered else None,
    }


def upstream_view(
    control: Control, spec: GroupSpec, reports: Mapping[tuple[str, str], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """One upstream with its backends; `reports` are their last load reports, by upstream and address."""
    board, name = control.board, spec.name
    backends = [
        {**backend_view(control, name, backend), "load": (reports or {}).get((name, backend.address))}
        for backend in spec.backends
    ]
    rotating = [backend for backend in backends if backend["state"] not in ("drain", "maint")]
    healthy = [backend for backend in rotating if backend["state"] == "ready"]
    counts = [(backend["priority"], backend["state"] == "ready") for backend in rotating]
    seconds = Histogram(array("q", upstream_histogram(board, name, U_FINISH)))
    return {
        "name": name,
        "backends": backends,
        "healthy": len(healthy),
        "panic": bool(in_panic(counts, spec.panic, spec.overprovisioning)),
        "active": upstream_total(board, name, U_ACTIVE),
        "queued": upstream_total(board, name, U_QUEUE_LENGTH),
        "queue_refused": upstream_total(board, name, U_QUEUE_REFUSED),
        "queue_expired": upstream_total(board, name, U_QUEUE_EXPIRED),
        "limit": upstream_total(board, name, U_CEILING) or None,
        "breaker_open_seconds": max(0.0, (latest(board, name, U_OPEN_UNTIL) - monotonic_ns()) / 1e9),
        "retries": upstream_total(board, name, U_RETRIES),
        "retries_refused": upstream_total(board, name, U_RETRIES_REFUSED),
        "p50_seconds": seconds.quantile(0.5),
        "p99_seconds": seconds.quantile(0.99),
    }
