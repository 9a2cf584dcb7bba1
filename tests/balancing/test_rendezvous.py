"""Rendezvous hashing: the slots, and how many there are."""

from __future__ import annotations

from itertools import pairwise

import pytest

from proxy.balancing.rendezvous import RendezvousHash
from proxy.sharding import rendezvous

from .members import backends, set_members

KEYS = [b"key-%d" % n for n in range(5000)]


def test_keys_are_where_the_slots_have_them() -> None:
    balancer = RendezvousHash(slots=1024)
    set_members(balancer, backends(1, 2, 1))
    slots = rendezvous.Rendezvous({"a": 1.0, "b": 2.0, "c": 1.0}, 1024)
    assert [backend.name for backend in map(balancer.pick, KEYS) if backend] == [slots.owner(key) for key in KEYS]


def test_a_backend_that_warms_up_takes_keys_step_by_step_and_moves_no_others() -> None:
    """Slow start multiplies all weights; what had a weight of 1 has one of 10 at a scale of 10."""
    balancer = RendezvousHash()
    members = backends(1, 1, 1, 1)
    set_members(balancer, members[1:])
    homes = [{key: balancer.pick(key) for key in KEYS}]
    for step in range(1, 11):
        for backend in members:
            backend.weight, backend.scale = (step if backend is members[0] else 10), 10
        set_members(balancer, members)
        homes.append({key: balancer.pick(key) for key in KEYS})
    taken = [sum(home is members[0] for home in each.values()) for each in homes]
    assert taken == sorted(taken)
    assert taken[-1] == pytest.approx(len(KEYS) / 4, rel=0.1)
    for before, after in pairwise(homes):
        assert all(after[key] in (before[key], members[0]) for key in KEYS)


def test_the_number_of_slots_is_checked() -> None:
    with pytest.raises(ValueError, match="slots: must be a power of two"):
        RendezvousHash(slots=1000)
