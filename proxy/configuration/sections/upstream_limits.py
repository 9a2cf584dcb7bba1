"""How much an upstream takes at a time, and what waits for it."""

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
    """Requests that may wait in each worker, for each `routes[].subset`, when these limits are reached; 0 for none."""
    queue_timeout: Duration = duration("1s")
    """How long a request waits before it is answered with 503."""
    queue_target: Duration = duration("100ms")
    """If a queue has not been empty for queue_timeout, nobody waits longer than this, and the last come is first."""


def to_spec(limits: UpstreamLimits, site: Site) -> LimitSpec:
    from ...upstream.spec import LimitSpec

    return LimitSpec(
        limits.requests, limits.requests_per_backend, limits.queue, limits.queue_timeout, limits.queue_target
    )
