"""Who waits: order, priorities, deadlines, leaving."""

from __future__ import annotations

from proxy.upstream.queue import PRIORITIES, Queue


def test_first_come_first_served() -> None:
    queue = Queue(3)
    for who in "abc":
        assert queue.push(who, 2, 0.0, 9.0)
    assert [queue.pop() for _ in range(4)] == ["a", "b", "c", None]
    assert queue.length == 0


def test_a_higher_priority_goes_before() -> None:
    queue = Queue(9)
    for priority in reversed(range(PRIORITIES)):
        queue.push(f"{priority}a", priority, 0.0, 9.0)
        queue.push(f"{priority}b", priority, 0.0, 9.0)
    assert [queue.pop() for _ in range(8)] == ["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"]


def test_it_is_bounded() -> None:
    queue = Queue(1)
    assert queue.push("a", 0, 0.0, 9.0)
    assert not queue.push("b", 0, 0.0, 9.0)
    assert not Queue(0).push("a", 0, 0.0, 9.0)


def test_who_leaves_is_not_served() -> None:
    queue = Queue(3)
    first, second, third = people = [object(), object(), object()]
    for who in people:
        queue.push(who, 1, 0.0, 9.0)
    queue.leave(second)
    queue.leave(object())
    assert queue.length == 2
    assert [queue.pop(), queue.pop(), queue.pop()] == [first, third, None]


def test_who_is_late_is_taken_out() -> None:
    queue = Queue(3)
    queue.push("a", 1, 0.0, 1.0)
    queue.push("b", 0, 0.0, 3.0)
    queue.push("c", 2, 0.0, 2.0)
    assert queue.late(0.5) == []
    assert sorted(queue.late(2.0)) == ["a", "c"]
    assert (queue.length, queue.pop()) == (1, "b")


def test_in_a_standing_queue_the_last_come_is_served_first_and_nobody_waits_long() -> None:
    queue = Queue(9)
    queue.patience, queue.target = 1.0, 0.2
    queue.push("old", 1, 0.0, 5.0)
    assert queue.late(0.9) == []  # a burst: first come, first served
    queue.push("new", 1, 0.95, 5.0)
    queue.push("newer", 1, 1.0, 5.0)
    assert queue.late(1.0) == ["old"]  # it has not been empty for a second
    assert [queue.pop(), queue.pop()] == ["newer", "new"]


def test_a_queue_that_was_empty_stands_no_longer() -> None:
    queue = Queue(9)
    queue.patience, queue.target = 1.0, 0.2
    queue.push("a", 1, 0.0, 9.0)
    queue.late(2.0)
    queue.pop()
    queue.push("b", 1, 3.0, 9.0)
    queue.push("c", 1, 3.1, 9.0)
    assert queue.late(3.5) == []
    assert [queue.pop(), queue.pop()] == ["b", "c"]


def test_many_who_are_late_are_taken_out_at_once() -> None:
    queue = Queue(100_000)
    for number in range(100_000):
        queue.push(number, 2, 0.0, 1.0 + number % 2)
    assert queue.late(1.0) == list(range(0, 100_000, 2))
    assert queue.length == 50_000
