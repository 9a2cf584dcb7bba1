"""Active health checks of the backends of an upstream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field

from ..fields import Count, Duration, HeaderValue, List, Method, Path, Percent, Regex, Section, Token, duration, percent
from ..values import described

if TYPE_CHECKING:
    from ...upstream.health import HealthSpec
    from ..site import Site


def check_status_range(value: int | str) -> int | str:
    """A status, or a range of them such as "200-299"."""
    status_range(value)
    return value


def status_range(value: int | str) -> tuple[int, int]:
    """Both ends of a range of statuses, included."""
    match = re.fullmatch(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?", str(value))
    low, high = (int(match[1]), int(match[2] or match[1])) if match is not None else (1, 0)
    if low > high:
        raise ValueError(f'must be a status such as 204 or a range such as "200-299", not {described(value)}')
    return low, high


def check_service(value: str) -> str:
    """The name of a gRPC service."""
    if not re.fullmatch(r"[\w./-]{0,127}", value, re.ASCII):
        raise ValueError(f"must be the name of a gRPC service such as shop.v1.Cart, not {described(value)}")
    return value


StatusRange = Annotated[str | Annotated[int, Field(ge=100, le=599)], AfterValidator(check_status_range)]


class Expect(Section):
    status: Annotated[List[StatusRange], Field(min_length=1)] = ("200-399",)
    """Statuses of a passed check: numbers such as 204, and ranges such as 200-299."""
    body: Regex | None = None
    """A regular expression that is found in the first 64 KiB of a good body."""


class HealthSection(Section):
    type: Literal["http", "tcp", "grpc"] = "http"
    """An HTTP request, only a TCP connection, or a call of the gRPC health protocol (HTTP/2 without TLS)."""
    service: Annotated[str, AfterValidator(check_service)] = ""
    """With grpc: the name of the service in the request; empty for the server as a whole."""
    path: Path = "/"
    """The path of the health check."""
    method: Method = "GET"
    """The method of the health check."""
    headers: Mapping[Token, HeaderValue] = Field(default_factory=dict)
    """Headers of the request; Host among them, if it differs from the backend's address."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port of the check, if it differs from that of the backend."""
    expect: Expect = Field(default_factory=Expect)
    """The conditions of a passed check."""
    interval: Duration = duration("2s")
    """Time between two checks of a backend."""
    timeout: Duration = duration("1s")
    """The time-out of a check, which then fails."""
    fall: Count = 3
    """Consecutive failed checks after which a backend is down."""
    rise: Count = 2
    """Consecutive passed checks after which it is up again; for the first state one suffices."""
    fast_interval: Duration = duration("500ms")
    """The interval after the first result that differs from the state, until the state changes."""
    jitter: Percent = percent("20%")
    """The random deviation of each interval, as a share of it."""
    initial: Literal["up", "down"] = "up"
    """The state of a backend until its first check."""
    reported: bool = True
    """Whether backends may set their state (ready, drain, maint) or a share of their weight with X-Backend-State."""


ABOUT = "Active health checks; null for none."
EFFECTS = (("*", "checks go on with it; what is known of the backends stays"),)


def to_spec(health: HealthSection, site: Site) -> HealthSpec:
    from ...upstream.health import HealthSpec

    return HealthSpec(
        kind=health.type,
        method=health.method,
        path=health.path,
        headers=tuple(health.headers.items()),
        port=health.port or 0,
        statuses=tuple(status_range(entry) for entry in health.expect.status),
        body=re.compile(health.expect.body) if health.expect.body is not None else None,
        interval=health.interval,
        timeout=health.timeout,
        fall=health.fall,
        rise=health.rise,
        fast_interval=min(health.fast_interval, health.interval),
        jitter=health.jitter,
        initial_up=health.initial == "up",
        reported=health.reported,
        service=health.service,
    )
