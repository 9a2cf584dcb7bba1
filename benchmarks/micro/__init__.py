"""Micro-benchmarks: `python -m benchmarks.micro`. Each file is named after the one that it times.

To add a case: a module of that name with `def cases() -> Iterable[Case]` (from .harness), nothing else.
"""
