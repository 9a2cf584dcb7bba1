"""Requests without a key go by another algorithm, and both learn from all."""

from __future__ import annotations

from collections.abc import Sequence

from proxy.balancing import Done
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.wrappers.keyless import KeylessFallback
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport
from tests.balancing.algorithms import LastByKey

from ..members import backends, settle


class Listening(LastByKey):
    """Writes down what it is told."""

    wants_reports = True

    def reported(self, backend: object, report: object, now: float) -> None:
        self.events.append(("reported", str(now)))

    def tick(self, now: float) -> None:
        self.events.append(("tick", str(now)))


def test_without_a_key_the_other_picks() -> None:
    keyed = KeylessFallback(LastByKey(), RoundRobin())
    members = backends(1, 1)
    settle(keyed, members)
    assert keyed.needs_key
    assert {keyed.pick(b"\x01") for _ in range(4)} == {members[1]}
    assert {keyed.pick(None) for _ in range(4)} == set(members)


def test_both_are_told_everything() -> None:
    main, other = Listening(), Listening()
    keyed = KeylessFallback(main, other)
    (a,) = members = backends(1)
    settle(keyed, members)
    keyed.assigned(a)
    keyed.released(a, Done(0.1))
    keyed.reported(a, LoadReport(), 3.0)
    keyed.tick(4.0)
    expected = [("assigned", "a"), ("released", "a"), ("reported", "3.0"), ("tick", "4.0")]
    assert main.events == other.events == expected
    assert keyed.wants_reports
    assert not KeylessFallback(LastByKey(), RoundRobin()).wants_reports


def test_it_explains_both() -> None:
    keyed = KeylessFallback(LastByKey(), RoundRobin())
    assert keyed.explain() == {"without_a_key": {}}


def test_reach_is_that_of_who_picks() -> None:
    class Reaches(LastByKey):
        def __init__(self, *whom: Backend) -> None:
            super().__init__()
            self.whom = [whom]

        def candidates(self, key: bytes | None) -> Sequence[Sequence[Backend]] | None:
            return self.whom

    a, b = backends(1, 1)
    keyed = KeylessFallback(Reaches(a), Reaches(b))
    assert keyed.candidates(None) == [(b,)]
    assert keyed.candidates(b"x") == [(a,)]
