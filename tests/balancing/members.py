"""Backends without a network, for tests of algorithms."""

from __future__ import annotations

from proxy.scoreboard import create
from proxy.upstream.backend import Backend, BackendSpec


def backends(*weights: int) -> list[Backend]:
    """One backend for each weight, named a, b, c and so on."""
    return [
        Backend(BackendSpec(chr(97 + n % 26) + str(n // 26 or ""), "127.0.0.1", 9000 + n, "", weight))
        for n, weight in enumerate(weights)
    ]


def shared_backends(count: int) -> list[Backend]:
    """Backends on a board with two workers; this process is the first of them, the other one's row is the next."""
    board = create(3)
    board.slot = 1
    specs = [BackendSpec(f"b{n}", "b", 1, "") for n in range(count)]
    return [Backend(spec, board.backend_rows("app", spec.address), board) for spec in specs]
