"""What is sent again after a failure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..fields import Count, Duration, List, Percent, Section, Size, Whole, duration, percent, size

Status = Annotated[int, Field(ge=400, le=599)]


class Hedge(Section):
    delay: Literal["auto"] | Duration = "auto"
    """After how long without a response another backend is asked too; auto for the quantile below."""
    quantile: Percent = percent("95%")
    """With auto: so many of the responses come sooner."""


class Retry(Section):
    attempts: Annotated[int, Field(ge=0, le=15)] = 2
    """How often a request is sent again, each time to another backend; 0 for never."""
    on: List[Literal["error", "timeout"] | Status] = ("error", "timeout")
    """After what: error (the connection failed), timeout (no response head in time), or these statuses. A failed
    connect is always followed by another try, since nothing was sent."""
    non_idempotent: bool = False
    """Whether POST, PATCH and the like are sent again too, once they were sent: their effect may then happen twice."""
    per_try: Duration | None = None
    """How long one try may wait for the response head; timeouts.response_head if absent."""
    deadline: Duration = duration("30s")
    """No retry begins later than this after the request."""
    backoff: Duration = duration("25ms")
    """The n-th retry waits anything from 0 to (2^n - 1) times this."""
    backoff_max: Duration = duration("250ms")
    """No retry waits longer, unless the backend asks for it with Retry-After."""
    budget: Percent = percent("20%")
    """Retries are at most this share of the requests of the last ten seconds, in each worker."""
    budget_min: Count = 3
    """So many retries per second are always allowed."""
    buffer: Size = size("64KiB")
    """A request with a larger body is not sent again once the body was sent."""
    retry_after_max: Duration = duration("300s")
    """A response whose Retry-After asks for more is passed on."""
    hedge: Hedge | None = None
    """A second try beside the first when the answer is late, of requests that are idempotent; null for none."""


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
