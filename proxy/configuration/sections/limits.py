"""Limits on messages and client connections."""

from __future__ import annotations

from ..fields import Count, HeadSize, Section, Size, size


class LimitsSection(Section):
    head_size: HeadSize = size("32KiB")
    """The size of a message head: the request line or status line and all header lines."""
    target_size: HeadSize = size("8KiB")
    """The length of the request target."""
    header_count: Count = 100
    """Header lines in one message."""
    body_size: Size = size("16MiB")
    """The size of a request body."""
    connections: Count = 32768
    """Client connections of each worker."""
    connections_per_client: Count = 16384
    """Client connections of each worker from one address."""
    requests_per_connection: Count = 1000
    """Requests on one client connection, which is closed after the last."""


class RouteLimits(Section):
    body_size: Size | None = None
    """Overrides limits.body_size."""


EFFECTS = ((".connections*", "holds for new connections; none is closed"),)
