"""Benchmarks: Qantara beside its peers, one core each. `python -m benchmarks.run`; see README.md."""
