"""Benchmarks import what the package still has: nothing else runs them in the test suite."""

from __future__ import annotations

from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["balancing", "codec", "orca", "pipeline", "routing"])
def test_a_micro_benchmark_is_importable(name: str) -> None:
    import_module(f"benchmarks.micro.{name}")


@pytest.mark.parametrize("name", ["hedging", "overload", "reliability", "backends", "soak", "moving", "measure"])
def test_a_benchmark_is_importable(name: str) -> None:
    import_module(f"benchmarks.{name}")
