"""Whether a configuration fits on the scoreboard, which has a fixed size.

Law of this file: it counts the entries of the file. Backends found by discovery are refused later if they do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..scoreboard import MOST_BACKENDS, MOST_UPSTREAMS
from .findings import Finding
from .schema import Config


def room_findings(config: Config) -> Iterator[Finding]:
    """The first upstream, rate limit and backend without a free row."""
    names = [("upstreams", name) for name in config.upstreams] + [("rate_limits", name) for name in config.rate_limits]
    if len(names) > MOST_UPSTREAMS:
        words = f"there are {len(names)} upstreams and rate limits; there may be {MOST_UPSTREAMS} of both together"
        yield Finding(names[MOST_UPSTREAMS], words, at_key=True)
    total = 0
    for name, upstream in config.upstreams.items():
        before, total = total, total + len(upstream.backends)
        if before <= MOST_BACKENDS < total:
            words = f"there may be {MOST_BACKENDS} backends in all upstreams together; this is one more"
            yield Finding(("upstreams", name, "backends", MOST_BACKENDS - before), words)
