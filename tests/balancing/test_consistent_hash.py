"""Consistent hashing: shares, and a ring that does not depend on who is healthy."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.balancing.consistent_hash import ConsistentHash
from proxy.sharding import Ring
from proxy.sharding.ring import MOST_POINTS, POINTS

from .members import backends, set_members

KEYS = [b"key-%d" % n for n in range(5000)]


def test_keys_are_where_the_ring_has_them() -> None:
    balancer = ConsistentHash()
    members = backends(1, 2, 1)
    set_members(balancer, members)
    ring = Ring({"a": 1.0, "b": 2.0, "c": 1.0})
    assert [backend.name for backend in map(balancer.pick, KEYS) if backend] == [ring.owner(key) for key in KEYS]


def test_shares_follow_the_weights() -> None:
    """The standard deviation of a share is 1 / sqrt(512 points), 4.4 %, at a weight of 1; three of them."""
    balancer = ConsistentHash(factor=None)
    set_members(balancer, backends(1, 2, 4))
    counts = Counter(backend.name for backend in map(balancer.pick, KEYS) if backend)
    for name, weight in (("a", 1), ("b", 2), ("c", 4)):
        assert counts[name] / len(KEYS) == pytest.approx(weight / 7, rel=0.14)


def test_an_unhealthy_backend_moves_no_key_of_others_though_the_points_are_bounded() -> None:
    """How many points a weight has goes by all that are in rotation; by the healthy ones alone, it would change."""
    heavy = MOST_POINTS // POINTS // 256 + 1
    members = backends(*[256] * heavy)
    balancer = ConsistentHash()
    set_members(balancer, members)
    before = {key: balancer.pick(key) for key in KEYS}
    set_members(balancer, members[1:], members)
    assert isinstance(balancer.placement, Ring)
    assert len(balancer.placement.points) <= MOST_POINTS
    assert all(balancer.pick(key) is home for key, home in before.items() if home is not members[0])


def test_how_many_points_there_are_follows_who_is_in_rotation_at_once() -> None:
    """Also if the usable ones stay: a worker that starts now would have another ring."""
    heavy = MOST_POINTS // POINTS // 256 + 1
    members = backends(*[256] * heavy)
    balancer, started_later = ConsistentHash(), ConsistentHash()
    for rotating in (members, members[1:]):
        set_members(balancer, members[1:], rotating)
    set_members(started_later, members[1:])
    assert [balancer.pick(key) for key in KEYS] == [started_later.pick(key) for key in KEYS]


@pytest.mark.parametrize("points", [0, 1.5, True, 1 << 17])
def test_points_are_checked(points: int) -> None:
    with pytest.raises(ValueError, match="points: must be a whole number from 1 to 65536"):
        ConsistentHash(points=points)
