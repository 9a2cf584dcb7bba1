"""The contract of a discovery source: a class that yields the backends of an upstream, again after each change.

Law of this file: plain types only, so that a configuration can be checked against the contract without a running
service. Helpers for sources are in control/discovery/base.py, which also exports these names.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from .backend import BackendSpec


class Answer(NamedTuple):
    """A result of a source: all backends, not only the new ones."""

    backends: Sequence[BackendSpec]
    ttl: float | None = None
    """Seconds until the source asks again; None: it is notified of changes."""
    trouble: str = ""
    """An error beside a usable result, as a sentence."""


class Source:
    """Base of all sources. The supervisor makes one instance for each upstream that names it."""

    kind = "source"
    keep = math.inf
    """Seconds for which the last result is used after a failure."""
    retry_max = 30.0
    """The longest pause between two attempts after failures, in seconds."""

    def asks(self) -> str:
        """The query and its server, for display."""
        return ""

    def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
        """Yields an Answer, or just its backends, at once and then after each possible change.

        Raises DiscoveryError with a sentence for people, or any exception: it is then called again after a pause, and
        its last result stays in use for `keep` seconds. If it returns, its last result stays. It runs in a shared event
        loop and must not block.
        """
        raise NotImplementedError
