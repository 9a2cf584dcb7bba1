"""Counters and histograms of one upstream in one worker: its row of the scoreboard.

Law of this file: counting is one addition to a cell (metrics.py names them). A worker writes its own row; only `total`
reads the rows of the others.
"""

from __future__ import annotations

from typing import Any

from ..metrics import HISTOGRAM_CELLS, U_CONNECT, U_FINISH, U_PICK, U_RELAY, U_SEND, Histogram
from ..scoreboard import UPSTREAM_ROW, Scoreboard


class UpstreamStats:
    """The counters of one upstream. Histograms are in seconds."""

    def __init__(self, board: Scoreboard, all_rows: Any) -> None:
        self.board = board
        self.all_rows = all_rows
        """The rows of all slots, UPSTREAM_ROW cells each."""
        start = board.slot * UPSTREAM_ROW
        self.rows = all_rows[start : start + UPSTREAM_ROW]
        """The row of this worker."""
        self.pick_seconds = self._histogram(U_PICK)
        """Waiting in the queue; requests that did not wait are left out."""
        self.connect_seconds = self._histogram(U_CONNECT)
        self.send_seconds = self._histogram(U_SEND)
        self.relay_seconds = self._histogram(U_RELAY)
        self.finish_seconds = self._histogram(U_FINISH)

    def _histogram(self, at: int) -> Histogram:
        return Histogram(self.rows[at : at + HISTOGRAM_CELLS])

    def count(self, cell: int) -> None:
        """Add one to a cell of this worker's row."""
        self.rows[cell] += 1

    def total(self, cell: int) -> int:
        """The sum of a cell over all workers."""
        total = 0
        at = UPSTREAM_ROW + cell
        end = self.board.used * UPSTREAM_ROW
        while at < end:
            total += self.all_rows[at]
            at += UPSTREAM_ROW
        return total
