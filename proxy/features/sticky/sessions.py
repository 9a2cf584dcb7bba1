"""The session table: the backend of each session, in a set-associative table of fixed size in shared memory.

Law of this file: an entry is one cell, written and read whole, so there are no locks; a lost race costs one session,
which is placed anew. Sessions are hashed to sets of WAYS cells; the least recently used cell of a full set is evicted.
A session that is unused for its time to live expires.

A cell holds, from the top: a tag of 24 bits of the session's hash, the row of its backend plus 1 (15 bits), and the
second of its last use (24 bits, which is 194 days). A false match of tags happens once in two million lookups; it sends
a new session to the backend of another one.
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
"""Seconds since the last use below which a further use is not written: writes evict the line from other caches."""


class Sessions:
    """The sessions of one upstream. `salt` (16 bytes) keys the hash (SipHash, as in limits/rate.py): it separates
    upstreams, and collisions cannot be constructed. Times and `ttl` are seconds of the monotonic clock."""

    def __init__(self, cells: Any, salt: bytes, ttl: float) -> None:
        self.cells = cells
        self.sets = len(cells) // WAYS
        self.salt = salt
        self.ttl = min(int(ttl) or 1, SECOND_MASK // 2)

    def find(self, session: bytes, now: float) -> int:
        """The row of a session's backend, -1 if the session is unknown. Counts as a use."""
        second = int(now) & SECOND_MASK
        at = self._at(session, second)
        if at < 0:
            return -1
        cell = self.cells[at]
        if self._age(cell, second) > FRESH:
            self.cells[at] = cell & ~SECOND_MASK | second
        return int(cell >> SECOND & ROW_MASK) - 1

    def peek(self, session: bytes, now: float) -> int:
        """As `find`, without counting as a use."""
        at = self._at(session, int(now) & SECOND_MASK)
        return int(self.cells[at] >> SECOND & ROW_MASK) - 1 if at >= 0 else -1

    def keep(self, session: bytes, row: int, now: float) -> None:
        """Store the row of a session's backend."""
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
        """The cell of a session, -1 if it is unknown or has expired."""
        first, tag = self._place(session)
        for at in range(first, first + WAYS):
            cell = self.cells[at]
            if cell >> (ROW + SECOND) == tag and cell & (ROW_MASK << SECOND):
                return at if self._age(cell, second) <= self.ttl else -1
        return -1

    def _age(self, cell: int, second: int) -> int:
        """Seconds since the last use of a cell; 0 if another worker has used it at a later second meanwhile."""
        age = second - cell & SECOND_MASK
        return age if age <= SECOND_MASK // 2 else 0

    def _place(self, session: bytes) -> tuple[int, int]:
        """The first cell of a session's set, and the session's tag."""
        number = siphash(self.salt, session)
        return (number >> TAG) % self.sets * WAYS, number & (1 << TAG) - 1


def sessions_on(board: Scoreboard, upstream: str, ttl: float) -> Sessions:
    """The sessions of an upstream on a board."""
    return Sessions(board.sessions(), salt_of(board.secret(), f"sticky {upstream}"), ttl)
