"""What is not asked for is not there."""

from __future__ import annotations

from proxy.balancing.compose import BalanceSpec, compose
from proxy.balancing.levels import Levels
from proxy.balancing.round_robin import RoundRobin


def test_an_algorithm_alone_is_alone() -> None:
    assert type(compose(BalanceSpec())) is RoundRobin
    assert type(compose(BalanceSpec(overprovisioning=1.4))) is Levels
