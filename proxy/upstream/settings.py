"""How connections to the backends of an upstream are kept, and how much it takes at a time.

Law of this file: what a plan says, and nothing of what is.
"""

from __future__ import annotations

from typing import NamedTuple


class PoolSettings(NamedTuple):
    """How connections to each backend of a group are kept. Times in seconds."""

    min: int = 0
    max: int = 1024
    idle: float = 55.0
    lifetime: float = 3600.0
    pending: int = 1024
    connect_timeout: float = 3.0


class LimitSpec(NamedTuple):
    """How much an upstream takes at a time, counted over all workers; 0 is no limit."""

    requests: int = 0
    """Requests in flight at the whole upstream."""
    requests_per_backend: int = 1024
    queue: int = 1024
    """Requests of one worker that may wait for one of these limits."""
    queue_timeout: float = 1.0
    queue_target: float = 0.1
    """How long a request waits at most in a queue that has not been empty for `queue_timeout`."""
