"""The sweep: what is late is told once, what is not late is left alone, and one failure harms nobody else."""

from __future__ import annotations

import pytest

from proxy.deadlines import NEVER, Sweep, Timed


class Probe(Timed):
    def __init__(self, deadline: float) -> None:
        super().__init__()
        self.deadline = deadline
        self.told: list[float] = []
        self.again: float | None = None
        self.broken = False
        self.leaves: Sweep | None = None

    def expire(self, now: float) -> None:
        self.told.append(now)
        if self.leaves is not None:
            self.leaves.watched.discard(self)
        if self.again is not None:
            self.deadline = self.again
        if self.broken:
            raise RuntimeError("broken")


def sweep_of(*probes: Probe) -> Sweep:
    sweep = Sweep()
    sweep.watched.update(probes)
    return sweep


def test_a_new_one_has_no_deadline() -> None:
    assert Timed().deadline == NEVER


def test_only_what_is_late_is_told() -> None:
    late, due, early, never = Probe(1.0), Probe(2.0), Probe(2.5), Probe(NEVER)
    sweep_of(late, due, early, never).run(2.0)
    assert [probe.told for probe in (late, due, early, never)] == [[2.0], [2.0], [], []]


def test_a_deadline_is_told_once() -> None:
    probe = Probe(1.0)
    sweep = sweep_of(probe)
    sweep.run(2.0)
    sweep.run(3.0)
    assert probe.told == [2.0]
    assert probe.deadline == NEVER


def test_a_deadline_may_be_set_again() -> None:
    probe = Probe(1.0)
    probe.again = 2.5
    sweep = sweep_of(probe)
    for now in (2.0, 2.2, 3.0):
        sweep.run(now)
    assert probe.told == [2.0, 3.0]


def test_one_may_leave_while_it_is_told() -> None:
    probes = [Probe(1.0) for _ in range(10)]
    sweep = sweep_of(*probes)
    for probe in probes:
        probe.leaves = sweep
    sweep.run(2.0)
    assert all(probe.told == [2.0] for probe in probes)
    assert not sweep.watched


def test_a_failure_keeps_nobody_from_their_deadline(caplog: pytest.LogCaptureFixture) -> None:
    probes = [Probe(1.0) for _ in range(10)]
    probes[4].broken = True
    sweep_of(*probes).run(2.0)
    assert all(probe.told == [2.0] for probe in probes)
    assert "a deadline could not be handled" in caplog.text
