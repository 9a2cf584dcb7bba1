"""The queues of an upstream, one for each picker: requests that wait until a limit allows them to be sent.

Law of this file: a queue that cannot go on does not hold up the others; each wake begins with another one. The order
within a queue is queue.py's, the limits are overload.py's.
"""

from __future__ import annotations

from time import monotonic

from ..errors import QUEUE_FULL, QUEUE_TIMEOUT
from ..metrics import U_QUEUE_EXPIRED, U_QUEUE_LENGTH, U_QUEUE_REFUSED, U_QUEUED
from .overload import Overload
from .picker import Picker
from .ports import Requester
from .queue import note_wait
from .spec import LimitSpec
from .stats import UpstreamStats

MAX_PASSED = 8
"""Requests that are passed over per queue and wake, because no backend that they may be sent to has room."""


class Queues:
    """The queues of one upstream in one worker."""

    def __init__(self, stats: UpstreamStats, overload: Overload, pickers: list[Picker]) -> None:
        self.stats = stats
        self.overload = overload
        self.pickers = pickers
        """Shared with the group, which adds and removes them."""
        self.waiting = 0
        """Requests in all queues."""
        self.next_queue = 0
        """The index of the queue that the last wake began with."""
        self.waking = False
        self.timeout = 0.0
        """The longest wait, in seconds."""

    def adopt(self, limits: LimitSpec) -> None:
        """Take up the configuration, in the queues of all pickers."""
        self.timeout = limits.queue_timeout
        for picker in self.pickers:
            queue = picker.queue
            queue.max_length, queue.patience, queue.target = limits.queue, limits.queue_timeout, limits.queue_target

    def enqueue(self, requester: Requester, picker: Picker, priority: int, since: float, now: float) -> None:
        """Queue a request whose wait began at `since`: its `slot_free` is called, or its `connect_failed` with
        QUEUE_FULL or QUEUE_TIMEOUT."""
        if not picker.queue.push(requester, priority, since, since + self.timeout):
            self.stats.count(U_QUEUE_REFUSED)
            requester.connect_failed(QUEUE_FULL)
            return
        requester.queued_at = now
        self.stats.count(U_QUEUED)
        self._add(1)

    def leave(self, requester: Requester, picker: Picker) -> None:
        """Remove a request that is cancelled."""
        before = picker.queue.length
        picker.queue.leave(requester)
        self._add(picker.queue.length - before)
        note_wait(requester, monotonic(), self.stats.pick_seconds)

    def _add(self, more: int) -> None:
        self.waiting += more
        self.stats.rows[U_QUEUE_LENGTH] += more

    def wake(self) -> None:
        """Resume the requests that the limits allow now."""
        if self.waking:  # a resumed request may end at once, and wake again
            return
        self.waking = True
        pickers = self.pickers
        try:
            if len(pickers) == 1:
                self._wake(pickers[0])
                return
            self.next_queue = (self.next_queue + 1) % len(pickers)
            for picker in pickers[self.next_queue :] + pickers[: self.next_queue]:
                self._wake(picker)
        finally:
            self.waking = False

    def _wake(self, picker: Picker) -> None:
        queue, passed = picker.queue, 0
        for _ in range(queue.length):
            if not self.overload.has_room(1) or not self._has_room_in(picker):
                return
            requester: Requester | None = queue.peek(passed)
            while requester is not None and not requester.can_use_slot():  # no room at its candidates
                passed += 1
                requester = queue.peek(passed) if passed < MAX_PASSED else None
            if requester is None:
                return
            queue.pop(passed)
            self._add(-1)
            note_wait(requester, monotonic(), self.stats.pick_seconds)
            requester.slot_free()

    def _has_room_in(self, picker: Picker) -> bool:
        """Whether any usable backend of a picker may have one more request."""
        for backend in picker.usable:
            if backend.weight > 0 and self.overload.below_limit(backend):
                return True
        return False

    def expire(self, now: float) -> None:
        """Fail the requests whose wait is over at time `now`, then wake: other workers may have made room."""
        if not self.waiting:
            return
        for picker in self.pickers:
            late = picker.queue.late(now)
            self._add(-len(late))
            for requester in late:
                self.stats.count(U_QUEUE_EXPIRED)
                note_wait(requester, now, self.stats.pick_seconds)
                requester.connect_failed(QUEUE_TIMEOUT)
        self.wake()
