"""ai_scored: what it learns, that it does not fall for what fails fast, what it says of itself."""

from __future__ import annotations

from statistics import fmean

import pytest

from proxy.balancing import create
from proxy.balancing.ai_scored import AiScored
from proxy.balancing.base import Done
from proxy.balancing.power_of_two import PowerOfTwo
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport

from .members import backends, set_members
from .serving import serve

CORES = [4.0, 4.0, 4.0, 1.0]


@pytest.mark.parametrize("cost", [0.05, None], ids=["with costs", "without reports"])
def test_a_backend_that_can_do_less_gets_less(cost: float | None) -> None:
    members = backends(1, 1, 1, 1)
    balancer = AiScored(seed=1)
    set_members(balancer, members)
    counts, _ = serve(balancer, members, CORES, rate=120, cost=cost)
    assert counts["d"] < 0.6 * min(counts[name] for name in "abc")


@pytest.mark.parametrize("cost", [0.05, None], ids=["with costs", "without reports"])
def test_requests_take_no_longer_than_by_power_of_two(cost: float | None) -> None:
    means = {}
    for balancer in (AiScored(seed=1), PowerOfTwo(seed=1)):
        members = backends(1, 1, 1, 1)
        set_members(balancer, members)
        means[balancer.name] = fmean(serve(balancer, members, CORES, rate=150, cost=cost)[1])
    assert means["ai_scored"] <= 1.02 * means["power_of_two"]


def test_what_fails_at_once_is_left_alone() -> None:
    members = backends(*[1] * 10)
    balancer = AiScored(seed=1)
    set_members(balancer, members)
    counts, _ = serve(balancer, members, [2.0] * 10, rate=200, failing=frozenset((0,)))
    assert counts["a"] < 0.02 * sum(counts.values())


def test_it_tells_what_it_knows_and_why_it_picked() -> None:
    members = backends(1, 1, 1, 1)
    balancer = AiScored(seed=1)
    set_members(balancer, members)
    serve(balancer, members, CORES, rate=120)
    told = balancer.explain()
    assert set(told["backends"]) == set("abcd")
    assert all({"score", "why"} <= set(row) for row in told["backends"].values())
    assert told["picks"]


def test_what_was_learned_stays_with_the_backend() -> None:
    members = backends(1, 1, 1, 1)
    balancer = AiScored(seed=1)
    set_members(balancer, members)
    serve(balancer, members, CORES, rate=120)
    learned = [backend.learned["ai_scored"].capacity for backend in members]
    successor = AiScored(seed=2)
    set_members(successor, members)
    assert [backend.learned["ai_scored"].capacity for backend in members] == learned
    assert learned[3] < min(learned[:3])


@pytest.mark.parametrize(("of_others", "fleet"), [(0.0, False), (1.0, True)])
def test_other_proxies_are_seen_by_what_backends_report(of_others: float, fleet: bool) -> None:
    balancer = create("ai_scored", seed=1)
    assert isinstance(balancer, AiScored)
    set_members(balancer, backends(4))
    now = 1000.0
    for _ in range(300):  # one request at a time: this proxy has none there when a response is heard
        now += 0.05
        backend = balancer.pick(None)
        assert backend is not None
        balancer.assigned(backend)
        balancer.released(backend, Done(0.05, now=now, report=LoadReport(in_flight=of_others, cost=0.05)))
        balancer.tick(now)
    assert balancer.in_fleet is fleet


def test_reports_that_are_no_numbers_are_ignored() -> None:
    members = backends(1, 1)
    balancer = AiScored(seed=1)
    set_members(balancer, members)
    balancer.reported(members[0], LoadReport(), 1.0)
    balancer.reported(members[0], LoadReport(cpu=0.0, memory=0.0, in_flight=0.0), 1.0)
    balancer.tick(1.1)
    assert {(balancer.pick(None) or members[0]).name for _ in range(50)} == {"a", "b"}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"mode": "cloud"}, "mode: must be one of auto, local, fleet, not 'cloud'"),
        ({"choices": 1}, "choices: must be between 2 and 64 backends, not 1"),
        ({"probes": -1}, "probes: must be 0 or more per request, not -1"),
        ({"control": 0.9}, "control: must be a share between 0 and 0.5 of the requests, not 0.9"),
    ],
)
def test_parameters_are_checked(params: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=next(iter(params))) as caught:
        create("ai_scored", **params)
    assert said in str(caught.value)


def test_what_is_learned_of_a_subset_is_its_own() -> None:
    """Its capacities are in proportion to the weights there, and its control group has places there."""
    members = backends(1, 1)
    whole, part = AiScored(), AiScored()
    part.scope = "version=canary"
    set_members(whole, members)
    set_members(part, members[:1])
    assert part.states[0] is not whole.states[0]
    again = AiScored()
    again.scope = "version=canary"
    set_members(again, members)
    assert again.states[0] is part.states[0]


def test_a_session_that_stays_where_nobody_else_goes_asks_nobody() -> None:
    """The last member is drained, and its sessions go on."""
    balancer = AiScored(mode="fleet")
    (only,) = members = backends(1)
    set_members(balancer, members)
    asked: list[Backend] = []
    balancer.prober = asked.append
    set_members(balancer, [])
    balancer.assigned(only)
    assert asked == []


def test_when_all_reports_are_old_requests_go_by_its_own_count_to_everybody() -> None:
    """A proxy that has a request now and then, each with reports that are old when the next one comes."""
    members = backends(1, 1, 1, 1)
    balancer = AiScored(mode="fleet", seed=1, control=0.0)
    set_members(balancer, members)
    found = set()
    for second in range(10, 500, 10):
        for backend in members[:3]:
            balancer.reported(backend, LoadReport(in_flight=5.0), float(second))
        balancer.tick(second + 5.0)
        found.add(balancer.pick(None))
    assert found == set(members)


@pytest.mark.parametrize(("in_a_tick", "often"), [(2, True), (0, False)])
def test_how_often_backends_answer_decides_how_latency_is_learned(in_a_tick: int, often: bool) -> None:
    """Twenty requests per second for each backend, or one."""
    balancer = AiScored(seed=1)
    members = backends(1, 1, 1, 1)
    set_members(balancer, members)
    for tick in range(60):
        for _ in range(in_a_tick * len(members) or tick % 3 == 0):
            balancer.pick(None)
        balancer.tick(tick / 10)
    assert balancer.fleet.often is often
