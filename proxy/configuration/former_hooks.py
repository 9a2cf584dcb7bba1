"""Warnings of `qantara check` about algorithms of a user's own with hook names of the release before.

Law of this file: it is for one release, as balancing/wrappers/former_hooks.py is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..balancing import find
from ..balancing.user_code import named_inside
from ..balancing.wrappers.former_hooks import advice, former_names
from .findings import Finding
from .schema import Config


def former_hook_findings(config: Config) -> Iterator[Finding]:
    """A finding for each such algorithm. Call it after the configuration was compiled: their modules are imported."""
    for name, upstream in config.upstreams.items():
        balance = upstream.balance
        for algorithm in (balance.algorithm, named_inside(balance.params), balance.fallback):
            if isinstance(algorithm, str) and ":" in algorithm:
                kind = find(algorithm)
                if names := former_names(kind):
                    yield Finding(("upstreams", name, "balance"), advice(kind, names))
