"""Retries and hedging."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..fields import Count, Duration, List, Percent, Section, Size, duration, percent, size

if TYPE_CHECKING:
    from ...upstream.hedge import HedgeSpec
    from ...upstream.retry import RetrySpec
    from ..site import Site

Status = Annotated[int, Field(ge=400, le=599)]


class Hedge(Section):
    delay: Literal["auto"] | Duration = "auto"
    """The time without a response after which a second backend gets the request; auto for the quantile below."""
    quantile: Percent = percent("95%")
    """With auto: the quantile of response times that is the delay."""


class RetrySection(Section):
    attempts: Annotated[int, Field(ge=0, le=15)] = 2
    """The largest number of retries of a request, each at another backend; 0 for none."""
    on: List[Literal["error", "timeout"] | Status] = ("error", "timeout")
    """The conditions: error (the connection failed), timeout (no response head in time), or these statuses. A failed
    connect is always followed by another try, since nothing was sent."""
    non_idempotent: bool = False
    """Whether POST, PATCH and the like are sent again too, once they were sent: their effect may then happen twice."""
    per_try: Duration | None = None
    """The time-out of the response head of one attempt; timeouts.response_head if absent."""
    deadline: Duration = duration("30s")
    """The time after the start of the request from which on no retry begins."""
    backoff: Duration = duration("25ms")
    """The base of the back-off: the n-th retry waits a random time from 0 to (2^n - 1) times this."""
    backoff_max: Duration = duration("250ms")
    """The longest back-off, unless Retry-After of the response is longer."""
    budget: Percent = percent("20%")
    """The retry budget: retries as a share of the requests of the last ten seconds, in each worker."""
    budget_min: Count = 3
    """Retries per second that are allowed in addition to the budget."""
    buffer: Size = size("64KiB")
    """The largest request body that is kept for a retry."""
    retry_after_max: Duration = duration("300s")
    """The longest Retry-After that is waited for; a response with a longer one is passed on."""
    hedge: Hedge | None = None
    """Hedging: a second attempt of an idempotent request beside the first if the response is late; null for none."""


def to_spec(retry: RetrySection, site: Site) -> RetrySpec:
    from ...upstream.retry import RetrySpec

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
    from ...upstream.hedge import HedgeSpec

    if hedge is None:
        return None
    return HedgeSpec(0.0 if hedge.delay == "auto" else hedge.delay, hedge.quantile)
