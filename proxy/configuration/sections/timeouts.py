"""The time-outs of each step: global, of an upstream, of a route."""

from __future__ import annotations

from pydantic import Field

from ..fields import Duration, GraceDuration, Section, duration


class TimeoutsSection(Section):
    head: Duration = duration("10s")
    """From the first byte of a request until its head is complete."""
    body_idle: Duration = duration("30s")
    """Without progress of the request body."""
    keepalive: Duration = duration("75s")
    """Of an idle client connection, between two requests."""
    connect: Duration = duration("3s")
    """Until a backend accepts a connection."""
    response_head: Duration = duration("30s")
    """From the complete request until the response head is complete."""
    response_idle: Duration = duration("300s")
    """Without progress of the response body."""
    send_idle: Duration = duration("60s")
    """Without progress of writing the response to the client."""
    request: Duration = duration("1h")
    """Of the whole exchange, streams included; tunnels are not counted."""
    tunnel_idle: Duration = duration("1h")
    """Without bytes in either direction of an upgraded connection."""
    half_close: Duration = duration("1s")
    """Until the response begins, if the client has closed its sending side after its request."""
    accept_grace: GraceDuration = Field(default=5.0, json_schema_extra={"default": "5s"})
    """At a stop, the time for which new connections are still accepted while readiness already fails."""
    drain: Duration = duration("30s")
    """At a stop, the time for requests in flight to finish."""


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
