"""What is sent again after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ...upstream.hedge import HedgeSpec
from ...upstream.retry import RetrySpec
from ..fields import Count, Duration, List, Percent, Section, Size, duration, percent, size

if TYPE_CHECKING:
    from ..site import Site

Status = Annotated[int, Field(ge=400, le=599)]


class Hedge(Section):
    delay: Literal["auto"] | Duration = "auto"
    """After how long without a response another backend is asked too; auto for the quantile below."""
    quantile: Percent = percent("95%")
    """With auto: so many of the responses come sooner."""


class RetrySection(Section):
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


def to_spec(retry: RetrySection, site: Site) -> RetrySpec:
    return RetrySpec(
        attempts=retry.attempts,
        errors="error" in retry.on,
        timeouts="timeout" in retry.on,
        statuses=frozenset(entry for entry in retry.on if isinstance(entry, int)),
        non_idempotent=retry.non_idempotent,
        per_try=retry.per_try or 0.0,
        deadline=retry.deadline,
        backoff=retry.backoff,
        backoff_max=retry.backoff_max,
        budget=retry.budget,
        budget_min=retry.budget_min,
        buffer=retry.buffer,
        retry_after_max=retry.retry_after_max,
        hedge=compile_hedge(retry.hedge),
    )


def compile_hedge(hedge: Hedge | None) -> HedgeSpec | None:
    if hedge is None:
        return None
    return HedgeSpec(0.0 if hedge.delay == "auto" else hedge.delay, hedge.quantile)
