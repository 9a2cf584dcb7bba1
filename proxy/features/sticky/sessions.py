"""At which backend a session is, remembered for all workers: a table of fixed size in their shared memory.

Law of this file: an entry is one cell, written and read whole, so there are no locks, and what a lost race costs is one
session that is placed anew. Sessions are hashed to sets of WAYS cells; if all are in use, the one that was used
longest ago gives way. A session that is unused for its time to live is forgotten.

A cell holds, from the top: 24 bits by which a session is known again, the row of its backend plus 1 (15 bits), and the
second it was used last (24 bits, which is 194 days). That two sessions are taken for the same happens once in
two million times that one is looked for, and sends a new one to a backend that it had no reason to go to.
"""

from __future__ import annotations

from typing import Any

from siphashc import siphash

from ...limits.rate import salt_of
from ...scoreboard import Scoreboard

WAYS = 8
TAG, ROW, SECOND = 24, 15, 24
ROW_MASK, SECOND_MASK = (1 << ROW) - 1, (1 << SECOND) - 1
FRESH = 1
"""A use is written down if the last one is more than so many seconds ago, which spares other workers' caches."""


class Sessions:
    """The sessions of one upstream. `salt` (16 bytes) tells upstreams apart, and keeps clients from aiming at the cells
    of others (SipHash, as in limits/rate.py). Times are in seconds of the monotonic clock."""

    def __init__(self, cells: Any, salt: bytes, ttl: float) -> None:
        self.cells = cells
        self.sets = len(cells) // WAYS
        self.salt = salt
        self.ttl = min(int(ttl) or 1, SECOND_MASK // 2)

    def find(self, session: bytes, now: float) -> int:
        """The row of the backend that a session is at, -1 if it is not known; it counts as used."""
        second = int(now) & SECOND_MASK
        at = self._at(session, second)
        if at < 0:
            return -1
        cell = self.cells[at]
        if self._age(cell, second) > FRESH:
            self.cells[at] = cell & ~SECOND_MASK | second
        return int(cell >> SECOND & ROW_MASK) - 1

    def look(self, session: bytes, now: float) -> int:
        """As `find`, and it does not count as used."""
        at = self._at(session, int(now) & SECOND_MASK)
        return int(self.cells[at] >> SECOND & ROW_MASK) - 1 if at >= 0 else -1

    def keep(self, session: bytes, row: int, now: float) -> None:
        """A session is at the backend with this row."""
        first, tag = self._place(session)
        second = int(now) & SECOND_MASK
        chosen, oldest = first, -1
        for at in range(first, first + WAYS):
            cell = self.cells[at]
            if cell >> (ROW + SECOND) == tag:
                chosen = at
                break
            age = self._age(cell, second) if cell else SECOND_MASK
            if age > oldest:
                chosen, oldest = at, age
        wanted = (tag << ROW | row + 1) << SECOND | second
        if self.cells[chosen] != wanted:
            self.cells[chosen] = wanted

    def _at(self, session: bytes, second: int) -> int:
        """The cell of a session, -1 if it is not known or too old."""
        first, tag = self._place(session)
        for at in range(first, first + WAYS):
            cell = self.cells[at]
            if cell >> (ROW + SECOND) == tag and cell & (ROW_MASK << SECOND):
                return at if self._age(cell, second) <= self.ttl else -1
        return -1

    def _age(self, cell: int, second: int) -> int:
        """Seconds since a cell was used; 0 if another worker, whose clock read more, has used it meanwhile."""
        age = second - cell & SECOND_MASK
        return age if age <= SECOND_MASK // 2 else 0

    def _place(self, session: bytes) -> tuple[int, int]:
        """The first cell of a session's set, and its tag."""
        number = siphash(self.salt, session)
        return (number >> TAG) % self.sets * WAYS, number & (1 << TAG) - 1


def sessions_on(board: Scoreboard, upstream: str, ttl: float) -> Sessions:
    """The sessions of an upstream on a board."""
    return Sessions(board.sessions(), salt_of(board.secret(), f"sticky {upstream}"), ttl)
