"""A group: the backends of one upstream, as the requests of one plan see them.

Law of this file: a group is never changed. When its members or settings change, a new group takes its place.
"""

from __future__ import annotations

from typing import NamedTuple

from .backend import Backend


class PoolSettings(NamedTuple):
    """How connections to each backend of a group are kept. Times in seconds."""

    min: int = 0
    max: int = 1024
    idle: float = 55.0
    lifetime: float = 3600.0
    pending: int = 1024
    connect_timeout: float = 3.0


class Group(NamedTuple):
    """The backends of one upstream."""

    name: str
    members: tuple[Backend, ...]
    pool: PoolSettings
