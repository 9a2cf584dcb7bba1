"""Prequal: probes, and what is picked from the pool of their answers."""

from __future__ import annotations

import pytest

from proxy.balancing import create
from proxy.balancing.prequal import Prequal
from proxy.upstream.backend import Backend
from proxy.upstream.load.report import LoadReport

from .members import backends, set_members
from .serving import serve


def test_every_request_asks_for_probes_of_different_backends() -> None:
    asked: list[Backend] = []
    balancer = Prequal(seed=1)
    balancer.prober = asked.append
    members = backends(*[1] * 20)
    set_members(balancer, members)
    for _ in range(100):
        backend = balancer.pick(None)
        assert backend is not None
        balancer.assigned(backend)
    assert 290 <= len(asked) <= 310
    assert len({backend.name for backend in asked}) == 20


def test_of_those_that_are_not_hot_the_fastest_is_picked() -> None:
    members = backends(1, 1, 1, 1)
    balancer = Prequal(seed=1, q_rif=0.6)
    set_members(balancer, members)
    for _ in range(50):  # until it is known what is usual
        for at, (busy, latency) in enumerate(((1.0, 0.5), (1.0, 0.1), (1.0, 0.9), (50.0, 0.01))):
            balancer.reported(members[at], LoadReport(in_flight=busy, latency=latency), 1.0)
    assert balancer.pick(None) is members[1]


def test_old_answers_do_not_count() -> None:
    members = backends(*[1] * 8)
    balancer = Prequal(seed=1, max_age=1.0)
    set_members(balancer, members)
    for backend in members[:2]:
        balancer.reported(backend, LoadReport(in_flight=0.0, latency=0.001), 1.0)
    balancer.tick(10.0)
    assert len({(balancer.pick(None) or members[0]).name for _ in range(200)}) == 8


def test_what_can_do_less_gets_less() -> None:
    members = backends(1, 1, 1, 1)
    balancer = Prequal(seed=1, probes=0)
    set_members(balancer, members)
    counts, _ = serve(balancer, members, [4.0, 4.0, 4.0, 0.5], rate=120)
    assert counts["d"] < 0.8 * min(counts[name] for name in "abc")


@pytest.mark.parametrize("params", [{"probes": -1}, {"pool": 1}, {"max_age": 0}, {"q_rif": 2}])
def test_parameters_are_checked(params: dict[str, object]) -> None:
    (name,) = params
    with pytest.raises(ValueError, match=name):
        create("prequal", **params)
