"""Algorithms in service: a real proxy before backends whose capacity moves. See README.md of benchmarks."""
