"""How long each step may take: for all, for an upstream, for a route."""

from __future__ import annotations

from pydantic import Field

from ..fields import Duration, GraceDuration, Section, duration


class TimeoutsSection(Section):
    head: Duration = duration("10s")
    """From the first byte of a request until its head is complete."""
    body_idle: Duration = duration("30s")
    """The request body makes no progress."""
    keepalive: Duration = duration("75s")
    """A client connection waits for its next request."""
    connect: Duration = duration("3s")
    """A backend accepts the connection."""
    response_head: Duration = duration("30s")
    """From the complete request until the response head is complete."""
    response_idle: Duration = duration("300s")
    """The response body makes no progress."""
    send_idle: Duration = duration("60s")
    """The client does not read its response."""
    request: Duration = duration("1h")
    """The whole exchange, streams included; tunnels are not counted."""
    tunnel_idle: Duration = duration("1h")
    """Nothing passes through an upgraded connection, either way."""
    half_close: Duration = duration("1s")
    """A client that closed its sending side after its request gets the response if it begins within this time."""
    accept_grace: GraceDuration = Field(default=5.0, json_schema_extra={"default": "5s"})
    """At a stop, new connections are still taken for this long, while readiness already fails."""
    drain: Duration = duration("30s")
    """At a stop, requests in flight have this long to finish."""


class UpstreamTimeouts(Section):
    connect: Duration | None = None
    """Overrides timeouts.connect."""
    response_head: Duration | None = None
    """Overrides timeouts.response_head."""
    response_idle: Duration | None = None
    """Overrides timeouts.response_idle."""


class RouteTimeouts(Section):
    body_idle: Duration | None = None
    """Overrides timeouts.body_idle."""
    response_head: Duration | None = None
    """Overrides timeouts.response_head."""
    response_idle: Duration | None = None
    """Overrides timeouts.response_idle."""
    request: Duration | None = None
    """Overrides timeouts.request."""
    tunnel_idle: Duration | None = None
    """Overrides timeouts.tunnel_idle."""


EFFECTS = (
    (".accept_grace", "holds for the next stop"),
    (".drain", "holds for the next stop"),
    (".keepalive", "holds for connections from their next request on"),
    (".connect", "holds for new connections to backends"),
)
