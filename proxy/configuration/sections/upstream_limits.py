"""Limits on the requests in flight of an upstream, and its queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..fields import Duration, Section, Whole, duration

if TYPE_CHECKING:
    from ...upstream.spec import LimitSpec
    from ..site import Site


class UpstreamLimits(Section):
    requests: Whole = 0
    """Requests in flight at the upstream, over all workers; 0 for no limit."""
    requests_per_backend: Whole = 1024
    """Requests in flight at one backend, over all workers; 0 for no limit."""
    queue: Whole = 1024
    """The length of the queue of requests beyond these limits, in each worker, per `routes[].subset`; 0 for none."""
    queue_timeout: Duration = duration("1s")
    """The longest wait of a request in the queue; then it gets a 503."""
    queue_target: Duration = duration("100ms")
    """The longest wait while a queue has not been empty for queue_timeout (CoDel); the order is then last in, first
    out."""


def to_spec(limits: UpstreamLimits, site: Site) -> LimitSpec:
    from ...upstream.spec import LimitSpec

    return LimitSpec(
        limits.requests, limits.requests_per_backend, limits.queue, limits.queue_timeout, limits.queue_target
    )
