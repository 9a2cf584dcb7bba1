"""How connections to the backends of an upstream are kept.

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
