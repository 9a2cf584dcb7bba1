"""Subsets: each proxy has its own."""

from __future__ import annotations

from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.subset import Subset

from .members import backends


def test_only_so_many_are_used() -> None:
    subset = Subset(RoundRobin, 3, "proxy-1")
    subset.rebuild(backends(*[1] * 10))
    assert len({subset.pick(None) for _ in range(100)}) == 3
