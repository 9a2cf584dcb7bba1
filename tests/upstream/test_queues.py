"""The queues of an upstream: bounds, wakes, fairness between pickers, time-outs."""

from __future__ import annotations

from time import monotonic

from proxy.errors import QUEUE_TIMEOUT, Reason
from proxy.metrics import U_ACTIVE, U_QUEUE_EXPIRED, U_QUEUE_LENGTH, U_QUEUE_REFUSED, U_QUEUED
from proxy.scoreboard import alone
from proxy.upstream.backend import Backend
from proxy.upstream.overload import Overload
from proxy.upstream.picker import Picker
from proxy.upstream.ports import Requester
from proxy.upstream.queues import MAX_PASSED, Queues
from proxy.upstream.spec import LimitSpec
from tests.support.upstreams import backends, stats_of


class Full:
    """An upstream of four backends, each at its limit of one request; a picker of all of them, and one of the last two
    (`few`)."""

    def __init__(self, queue: int = 20) -> None:
        board = alone()
        self.backends = backends(1, 1, 1, 1, board=board)
        for backend in self.backends:
            backend.in_flight = 1
        self.all, self.few = Picker("app"), Picker("app (few)")
        self.all.usable, self.few.usable = self.backends, self.backends[2:]
        self.stats = stats_of(board)
        self.overload = Overload(self.stats)
        self.queues = Queues(self.stats, self.overload, [self.all, self.few])
        limits = LimitSpec(requests_per_backend=1, queue=queue, queue_timeout=1.0)
        self.overload.adopt(limits, None, None)
        self.queues.adopt(limits)

    def free(self, at: int) -> None:
        """One request at a backend is over."""
        self.backends[at].in_flight -= 1
        self.queues.wake()

    def check(self, waiting: int) -> None:
        assert self.queues.waiting == self.stats.rows[U_QUEUE_LENGTH] == waiting
        assert self.all.queue.length + self.few.queue.length == waiting


class Waits(Requester):
    """A request in the queue of a picker, which may go to some of its backends only. It notes what happens to it."""

    def __init__(self, there: Full, picker: Picker, *only: int, now: float = 0.0) -> None:
        super().__init__()
        self.there = there
        self.picker = picker
        self.candidates = [there.backends[at] for at in only] or picker.usable
        self.events: list[str] = []
        now = now or monotonic()
        there.queues.enqueue(self, picker, 0, now, now)

    def free(self) -> list[Backend]:
        return [backend for backend in self.candidates if self.there.overload.below_limit(backend)]

    def can_use_slot(self) -> bool:
        return bool(self.free())

    def slot_free(self) -> None:
        backend = self.free()[0]
        backend.in_flight += 1
        self.events.append(backend.name[:2])

    def connect_failed(self, reason: Reason) -> None:
        self.events.append(reason.name)


def test_a_request_that_waits_for_a_subset_does_not_hold_up_the_others() -> None:
    there = Full()
    few, any_one = Waits(there, there.few), Waits(there, there.all)
    there.check(2)
    there.free(0)
    assert (few.events, any_one.events) == ([], ["b0"])
    there.free(3)
    assert few.events == ["b3"]
    there.check(0)
    assert there.stats.rows[U_QUEUED] == 2


def test_each_queue_has_its_bound_and_is_left_and_times_out() -> None:
    there = Full(queue=2)
    first, second, third = (Waits(there, there.few) for _ in range(3))
    other = Waits(there, there.all)
    assert (third.events, other.events) == (["pick.queue_full"], [])
    there.queues.leave(second, second.picker)
    there.check(2)
    there.queues.expire(monotonic() + 5.0)
    assert first.events == other.events == [QUEUE_TIMEOUT.name]
    assert second.events == []
    there.check(0)
    assert (there.stats.rows[U_QUEUE_REFUSED], there.stats.rows[U_QUEUE_EXPIRED]) == (1, 2)


def test_a_request_without_a_candidate_that_has_room_does_not_hold_up_the_others() -> None:
    """It keeps its place in the queue, and its deadline."""
    there = Full()
    now = monotonic()
    picky, other, last = (Waits(there, there.all, at, now=now) for at in (2, 0, 2))
    there.free(0)
    assert (picky.events, other.events, last.events) == ([], ["b0"], [])
    there.check(2)
    assert sum(there.stats.pick_seconds.cells) == 1  # a wait is over once
    there.free(2)
    assert (picky.events, last.events) == (["b2"], [])
    there.queues.expire(now + 1.1)
    assert last.events == [QUEUE_TIMEOUT.name]


def test_the_number_that_is_passed_over_is_bounded() -> None:
    there = Full()
    for _ in range(MAX_PASSED):
        Waits(there, there.all, 2)
    behind = Waits(there, there.all, 0)
    there.free(0)
    assert behind.events == []
    there.check(MAX_PASSED + 1)


def test_each_wake_begins_with_another_queue() -> None:
    there = Full()
    few = [Waits(there, there.few) for _ in range(4)]
    all_of_them = [Waits(there, there.all, 2, 3) for _ in range(4)]
    for at in (2, 3, 2, 3):
        there.free(at)
    assert (
        [bool(each.events) for each in few] == [bool(each.events) for each in all_of_them] == [True] * 2 + [False] * 2
    )


def test_a_resumed_request_that_ends_at_once_makes_room_for_one_more() -> None:
    class Ends(Waits):
        def slot_free(self) -> None:
            super().slot_free()
            there.free(0)  # a wake within a wake

    there = Full()
    waiting = [Ends(there, there.all, 0) for _ in range(3)]
    there.free(0)
    assert [each.events for each in waiting] == [["b0"]] * 3
    there.check(0)


def test_a_limit_of_the_whole_upstream_holds_back_too() -> None:
    there = Full()
    there.overload.max_requests = 4
    there.stats.rows[U_ACTIVE] = 4 + 1
    waiting = Waits(there, there.all)
    there.free(0)
    assert waiting.events == []
    there.stats.rows[U_ACTIVE] -= 1
    there.queues.wake()
    assert waiting.events == ["b0"]


def test_requests_that_wait_longer_than_the_time_out_are_failed_and_the_rest_woken() -> None:
    there = Full()
    now = monotonic()
    late, in_time = Waits(there, there.few, now=now - 1.0), Waits(there, there.few, now=now)
    there.backends[3].in_flight = 0  # another worker has made room
    there.queues.expire(now)
    assert (late.events, in_time.events) == ([QUEUE_TIMEOUT.name], ["b3"])
    there.check(0)
