"""Scores: load by weight, the unknown, failures, fading, other workers, and rebuilds."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.balancing.base import ANSWERED, CANCELLED, FAILED, Done
from proxy.balancing.latency import Latency
from proxy.balancing.scored import Scored
from proxy.balancing.standalone import StandalonePicker
from proxy.scoreboard import IN_FLIGHT, ROW
from proxy.upstream.backend import Backend

from .members import backends, set_members, shared_backends


def known(balancer: Scored, members: list[Backend], *seconds: float) -> None:
    """Let members be known to answer in so many seconds."""
    set_members(balancer, members)
    for backend, each in zip(members, seconds, strict=True):
        balancer.released(backend, Done(each, ANSWERED, 1.0))


def score(balancer: Scored, backend: Backend) -> float:
    found: float = balancer.explain()["backends"][backend.name]["score"]
    return found


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"choices": 1}, "choices: must be from 2 to 64, not 1"),
        ({"choices": 65}, "choices: must be from 2 to 64, not 65"),
        ({"decay": 0.0}, "decay: must be more than 0 seconds, not 0.0"),
        ({"default_rtt": 0.0}, "default_rtt: must be more than 0 seconds, not 0.0"),
        ({"failure_penalty": -1.0}, "failure_penalty: must be at least 0, not -1.0"),
        ({"decay": float("nan")}, "decay: must be more than 0 seconds, not nan"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        Latency(**params)  # type: ignore[arg-type]
    assert str(caught.value) == said


def test_the_score_is_that_of_the_formula() -> None:
    balancer, members = Latency(seed=1), backends(4, 2)
    known(balancer, members, 0.1, 0.2)
    members[0].in_flight, members[1].in_flight = 8, 1
    balancer.released(members[1], Done(0.001, FAILED, 1.0))
    balancer.tick(1.0)
    assert score(balancer, members[0]) == pytest.approx(0.1 * (8 * 3 / 4 + 1))
    assert score(balancer, members[1]) == pytest.approx(0.2 * (1 * 3 / 2 + 1 + 20 * 0.1 * (4.5 + 1)))


def test_of_few_members_all_are_looked_at() -> None:
    balancer, members = Latency(seed=1), backends(*[1] * 8)
    known(balancer, members, 0.8, 0.7, 0.6, 0.5, 0.1, 0.2, 0.3, 0.4)
    assert {balancer.pick(None) for _ in range(100)} == {members[4]}
    members[4].in_flight = 1
    balancer.assigned(members[4])
    members[5].in_flight = 1
    balancer.assigned(members[5])
    assert {balancer.pick(None) for _ in range(100)} == {members[4]}  # 0.1 x 2 is still less than 0.3
    members[4].in_flight = 3
    balancer.assigned(members[4])
    assert {balancer.pick(None) for _ in range(100)} == {members[6]}


def test_of_many_members_eight_are_drawn() -> None:
    """The best of a hundred is among eight draws with a chance of 8 %, give or take."""
    balancer, members = Latency(seed=1), backends(*[1] * 100)
    known(balancer, members, *[0.1 + n / 1000 for n in range(100)])
    counts = Counter(backend.name for backend in map(balancer.pick, [None] * 20_000) if backend is not None)
    assert counts[members[0].name] / 20_000 == pytest.approx(0.08, abs=0.01)
    assert sum(counts[backend.name] for backend in members[50:]) / 20_000 <= 0.5**8 * 2


def test_an_idle_upstream_is_shared_out_by_weight() -> None:
    balancer, members = Latency(seed=1), backends(4, 1)
    known(balancer, members, 0.1, 0.1)
    counts = Counter(backend.name for backend in map(balancer.pick, [None] * 10_000) if backend is not None)
    assert counts["a"] / 10_000 == pytest.approx(0.8, abs=0.02)


def test_the_unknown_is_tried_at_once_and_by_one_request() -> None:
    picker = StandalonePicker("latency", ["a:1", "b:1", "c:1"], seed=1)
    for _ in range(3):
        request = picker.pick()
        assert request is not None
        request.answered(0.1)
    picker.set_backends(["a:1", "b:1", "c:1", "new:1"])
    first, second = picker.pick(), picker.pick()
    assert first is not None
    assert second is not None
    assert first.backend.name == "new:1" != second.backend.name


def test_an_unknown_one_that_fails_is_not_tried_first() -> None:
    balancer, members = Latency(seed=1), backends(1, 1)
    set_members(balancer, members)
    balancer.released(members[0], Done(0.1, ANSWERED, 1.0))
    balancer.released(members[1], Done(0.001, FAILED, 1.0))
    balancer.tick(1.0)
    assert {balancer.pick(None) for _ in range(20)} == {members[0]}


def test_a_quick_failure_says_nothing_about_speed_and_a_slow_one_does() -> None:
    balancer, members = Latency(seed=1), backends(1)
    known(balancer, members, 0.1)
    balancer.released(members[0], Done(0.001, FAILED, 1.1))
    assert balancer.explain()["backends"]["a"]["seconds"] == 0.1
    balancer.released(members[0], Done(5.0, FAILED, 1.2))
    assert balancer.explain()["backends"]["a"]["seconds"] == 5.0


def test_what_was_given_up_says_nothing() -> None:
    balancer, members = Latency(seed=1), backends(1)
    known(balancer, members, 0.1)
    before = balancer.explain()
    balancer.released(members[0], Done(5.0, CANCELLED, 1.2))
    assert balancer.explain() == before


def test_a_slow_one_is_tried_again_once_its_estimate_has_faded() -> None:
    """a answers in 10 ms all the time; b took a second once. It fades to half of 10 ms, and no further."""
    balancer, members = Latency(seed=1), backends(1, 1)
    known(balancer, members, 0.01, 1.0)
    balancer.tick(1.0)
    now, tried = 1.0, 0.0
    while now < 200.0:
        now += 0.1
        if balancer.pick(None) is members[1] and not tried:
            tried = now
        balancer.released(members[0], Done(0.01, ANSWERED, now))
        balancer.tick(now)
    assert 45.0 <= tried <= 60.0  # 10 s x ln(1 s / 5 ms) = 53 s
    assert balancer.explain()["backends"]["b"]["seconds"] == pytest.approx(0.005, rel=0.01)


def test_in_silence_nothing_fades() -> None:
    balancer, members = Latency(seed=1), backends(1, 1)
    known(balancer, members, 0.01, 1.0)
    for now in range(1, 10_000):
        balancer.tick(float(now))
    told = balancer.explain()["backends"]
    assert (told["a"]["seconds"], told["b"]["seconds"]) == pytest.approx((0.01, 1.0), rel=0.1)


def test_requests_of_other_workers_count() -> None:
    members = shared_backends(3)
    balancer = Latency(seed=1)
    known(balancer, members, 0.1, 0.1, 0.1)
    other = 2 * ROW + IN_FLIGHT
    members[0].rows[other], members[1].rows[other] = 4, 5
    assert {balancer.pick(None) for _ in range(50)} == {members[2]}  # seen when one of them wins
    members[1].rows[other] = 0
    members[2].rows[other] = 2
    balancer.tick(1.1)  # that one is less busy is seen with the next tick
    assert balancer.pick(None) is members[1]


def test_a_rebuild_keeps_what_is_known_and_another_algorithm_begins_anew() -> None:
    balancer, members = Latency(seed=1), backends(1, 1)
    known(balancer, members, 0.1, 0.2)
    again = Latency(seed=1)
    set_members(again, members[::-1])
    assert again.explain()["backends"]["b"]["seconds"] == 0.2
    assert again.explain()["seconds_if_unknown"] == 0.1
    balancer.released(members[0], Done(0.5, ANSWERED, 2.0))  # a request of before the reload
    assert again.explain()["backends"]["a"]["seconds"] == 0.5


def test_one_that_it_never_knew_does_not_disturb() -> None:
    balancer, members = Latency(seed=1), backends(1, 1)
    set_members(balancer, members[:1])
    balancer.assigned(members[1])
    balancer.released(members[1], Done(0.1))
    assert members[1].learned == {}
