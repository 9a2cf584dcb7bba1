"""What is refused so that the rest is served: rate limits, circuit breakers, adaptive limits, load shedding."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from .. import rates
from ..fields import Count, Duration, List, Percent, Section, Size, bare, duration, percent

Rate = Annotated[
    rates.Rate,
    PlainValidator(rates.parse_rate),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": f"^{rates.RATE}$", "examples": ["100/s", "1000/10s", "5000/h"]}),
]
RateKey = Annotated[str, AfterValidator(rates.check_rate_key)]
Priority = Literal["critical", "high", "normal", "low"]


class SharedStore(Section):
    url: Annotated[str, AfterValidator(rates.check_redis_url)]
    """The Redis server, or one that speaks like it: redis://host:port/database. A bare string means this."""
    timeout: Duration = duration("50ms")
    """If the store has not answered by then, a request goes on with what this machine knows."""
    prefix: str = "qantara:"
    """What the names of its keys begin with."""


class RateLimit(Section):
    rate: Rate
    """So many requests in a time: 100/s, 1000/10s, 5000/h."""
    burst: Count | None = None
    """So many of them at once; as many as in the rate if absent."""
    key: List[RateKey] = ("client_ip",)
    """What requests are counted by: client_ip, header:NAME, cookie:NAME, query:NAME, path:NAME, or several of them
    together; an empty list counts all together. A request that lacks one is not limited."""
    dry_run: bool = False
    """Whether it is only counted who would be refused."""
    shared: Annotated[SharedStore, bare("url", SharedStore)] | None = None
    """Where other machines count too; null for this machine alone."""


class Breaker(Section):
    failures: Percent = percent("50%")
    """The share of failed requests at which it opens."""
    slow: Duration | None = None
    """Responses that take longer in all count as failures; null for none."""
    requests: Count = 20
    """Only if so many were made within the window."""
    window: Duration = duration("10s")
    """The time over which requests are counted."""
    open: Duration = duration("5s")
    """How long it is open; twice as long each time that it has to open again."""
    open_max: Duration = duration("60s")
    """It is never open for longer."""
    trials: Annotated[int, Field(ge=1, le=1000)] = 3
    """Requests that each worker then lets through; if all are answered well, it closes."""


class Concurrency(Section):
    min: Count = 3
    """The limit of a worker is never lower; while the baseline is measured it is this."""
    max: Count = 1000
    """The limit of a worker is never higher."""
    interval: Duration = duration("60s")
    """How often the time of an unhindered response is measured anew under load."""
    samples: Annotated[int, Field(ge=5, le=10_000)] = 50
    """Responses that are enough to judge."""
    buffer: Percent = percent("25%")
    """Responses may take so much longer than unhindered ones before the limit falls."""


class Shedding(Section):
    lag: Duration | None = duration("250ms")
    """The event loop of a worker is this late; null for whatever."""
    memory: Size | None = None
    """A worker has this much in memory; null for whatever."""
