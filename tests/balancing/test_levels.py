"""Priorities: Envoy's tables of how levels share."""

from __future__ import annotations

import pytest

from proxy.balancing.levels import shares_of


@pytest.mark.parametrize(
    ("able", "shares"),
    [
        ([1.0, 1.0], [1.0, 0.0]),
        ([0.7, 1.0], [0.7, 0.3]),
        ([0.0, 1.0], [0.0, 1.0]),
        ([0.35, 0.35], [0.5, 0.5]),
        ([0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_what_each_level_gets(able: list[float], shares: list[float]) -> None:
    assert shares_of(able) == pytest.approx(shares)
