"""Members in parts."""

from __future__ import annotations

from proxy.balancing.levels import Levels
from proxy.balancing.round_robin import RoundRobin

from .members import backends


def test_a_part_that_stays_keeps_its_algorithm() -> None:
    parts = Levels(RoundRobin)
    members = backends(1, 1)
    parts.rebuild(members)
    child = parts.children[0]
    parts.rebuild(members[1:])
    assert parts.children[0] is child
