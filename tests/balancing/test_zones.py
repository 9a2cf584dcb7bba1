"""Zones: what stays here."""

from __future__ import annotations

import pytest

from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.zones import Zones


def test_what_stays_keeps_the_load_of_all_backends_equal() -> None:
    zones = Zones(RoundRobin, "a", {"a": 1, "b": 1})
    assert zones.shares({"a": 0.25, "b": 0.75}) == pytest.approx({"a": 0.5, "b": 0.5})
    assert zones.shares({"a": 0.5, "b": 0.5}) == {"a": 1.0, "b": 0.0}
