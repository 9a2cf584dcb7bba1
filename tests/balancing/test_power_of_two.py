"""The less busy of two."""

from __future__ import annotations

from proxy.balancing.power_of_two import PowerOfTwo

from .members import backends, set_members


def test_the_busier_of_two_is_not_picked() -> None:
    balancer = PowerOfTwo(seed=1)
    members = backends(1, 1)
    members[0].in_flight = 1
    set_members(balancer, members)
    assert {balancer.pick(None) for _ in range(50)} == {members[1]}


def test_busy_is_in_proportion_to_the_weight() -> None:
    balancer = PowerOfTwo(seed=1)
    members = backends(1, 3)
    members[0].in_flight, members[1].in_flight = 1, 2
    set_members(balancer, members)
    assert {balancer.pick(None) for _ in range(50)} == {members[1]}
