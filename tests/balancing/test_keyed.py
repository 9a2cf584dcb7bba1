"""Requests without a key go another way."""

from __future__ import annotations

from proxy.balancing.keyed import Keyed
from proxy.balancing.round_robin import RoundRobin
from tests.balancing.algorithms import LastByKey

from .members import backends


def test_without_a_key_the_other_picks() -> None:
    keyed = Keyed(LastByKey(), RoundRobin())
    members = backends(1, 1)
    keyed.rebuild(members)
    assert {keyed.pick(b"\x01") for _ in range(4)} == {members[1]}
    assert {keyed.pick(None) for _ in range(4)} == set(members)
