"""Tests of the benchmarks that are simulations: same numbers every time, so they can be asserted."""
