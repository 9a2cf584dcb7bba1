"""Maglev: the table, and its size."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.balancing.maglev import MaglevHash
from proxy.sharding import maglev
from proxy.sharding.maglev import LARGE, MANY, SIZE

from .members import backends, set_members

KEYS = [b"key-%d" % n for n in range(20_000)]


def test_keys_are_where_the_table_has_them() -> None:
    balancer = MaglevHash(table=1009)
    set_members(balancer, backends(1, 2, 1))
    table = maglev.Maglev({"a": 1.0, "b": 2.0, "c": 1.0}, 1009)
    assert [backend.name for backend in map(balancer.pick, KEYS) if backend] == [table.owner(key) for key in KEYS]


def test_shares_follow_the_weights_as_far_as_chance_lets_keys() -> None:
    balancer = MaglevHash()
    set_members(balancer, backends(1, 2, 5))
    counts = Counter(backend.name for backend in map(balancer.pick, KEYS) if backend)
    for name, weight in (("a", 1), ("b", 2), ("c", 5)):
        wanted = weight / 8
        assert abs(counts[name] / len(KEYS) - wanted) <= 4 * (wanted * (1 - wanted) / len(KEYS)) ** 0.5


def test_an_unhealthy_backend_does_not_change_the_size_of_the_table() -> None:
    """It goes by all that are in rotation: with another size, nearly every key would move."""
    balancer = MaglevHash()
    members = backends(*[1] * (MANY + 1))
    set_members(balancer, members[1:], members)
    assert isinstance(balancer.placement, maglev.Maglev)
    assert balancer.placement.size == LARGE
    fixed = MaglevHash(table=1009)
    set_members(fixed, members)
    assert isinstance(fixed.placement, maglev.Maglev)
    assert fixed.placement.size == 1009


def test_the_table_is_made_anew_when_so_many_are_in_rotation_that_its_size_is_another() -> None:
    """Be it that those who came are ill: a worker that starts then has the larger one."""
    balancer = MaglevHash()
    members = backends(*[1] * (MANY + 1))
    for rotating, size in ((members[1:], SIZE), (members, LARGE), (members[:9], SIZE)):
        set_members(balancer, members[1:9], rotating)
        assert isinstance(balancer.placement, maglev.Maglev)
        assert balancer.placement.size == size


def test_the_size_is_checked() -> None:
    with pytest.raises(ValueError, match="table: must be a prime number, for instance 65537, not 65536"):
        MaglevHash(table=65536)


def test_what_does_not_fit_is_refused_each_time() -> None:
    """Not only the first time, and then taken for placed."""
    balancer, members = MaglevHash(table=11), backends(*[1] * 12)
    set_members(balancer, members[:3])
    for _ in range(2):
        with pytest.raises(ValueError, match="12 names do not fit into a table of 11 entries"):
            set_members(balancer, members)
    set_members(balancer, members[:3])
    assert {balancer.pick(key) for key in KEYS[:99]} == set(members[:3])
