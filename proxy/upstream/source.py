"""The contract of a discovery source: one class that yields, again and again, the backends of an upstream.

Law of this file: plain types only, so that a configuration can be checked against the contract without anything that
runs. What is written beside it for sources is in control/discovery/base.py, which is the place to import from.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from .backend import BackendSpec


class Answer(NamedTuple):
    """What a source has found: all backends, not only those that are new."""

    backends: Sequence[BackendSpec]
    ttl: float | None = None
    """Seconds until the source asks again; None: it says by itself when something changes."""
    trouble: str = ""
    """What went wrong although there is an answer, in words."""


class Source:
    """Base of all sources. It is made in the supervisor, once for each upstream that names it."""

    kind = "source"
    keep = math.inf
    """Seconds for which its last answer is used after it has failed."""
    retry_max = 30.0
    """Seconds between two tries after failures, at most."""

    def asks(self) -> str:
        """What is asked, and where, for people."""
        return ""

    def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
        """Yields an Answer, or just its backends, at once and then whenever it may have changed.

        May raise: DiscoveryError with a sentence for people, or anything. It is then called again after a while, and
        what it yielded last stays in use for `keep` seconds. If it returns, its last answer stays. It runs in an
        event loop that others share, so it must not block.
        """
        raise NotImplementedError
