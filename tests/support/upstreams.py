"""Parts of an upstream without a proxy: backends and counters on a board of their own."""

from __future__ import annotations

from proxy.scoreboard import Scoreboard, alone, create
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.members import Members
from proxy.upstream.spec import GroupSpec
from proxy.upstream.stats import UpstreamStats


def two_workers() -> Scoreboard:
    """A board with two workers, seen from the first of them (slot 1)."""
    board = create(3)
    board.slot = 1
    return board


def backends(*weights: int, board: Scoreboard | None = None) -> list[Backend]:
    """Backends b0, b1 and so on of upstream app, with these weights."""
    board = board or alone()
    specs = [BackendSpec(f"b{n}:1", f"b{n}", 1, "", weight) for n, weight in enumerate(weights)]
    return [Backend(spec, board.backend_rows("app", spec.address), board) for spec in specs]


def members_of(spec: GroupSpec, *backends: Backend) -> Members:
    """Members that were there from the start."""
    members = Members()
    members.adopt(spec)
    members.replace(backends)
    return members


def stats_of(board: Scoreboard | None = None) -> UpstreamStats:
    """The counters of upstream app."""
    board = board or alone()
    return UpstreamStats(board, board.upstream_rows("app"))
