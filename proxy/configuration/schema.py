"""The configuration as frozen models: every key, its type, its default, and one sentence about it.

The sentences below the fields reach the JSON Schema. Invariant: a model accepts exactly the keys of its
section and knows nothing of its neighbours. Rules that span keys or sections (one action per route, unknown
upstreams) are in `problems`; only `load` hands out a `Config` that obeys them all. The reason for each
default is in docs/configuration.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from . import values as units
from .fields import (
    Bind,
    Count,
    Duration,
    File,
    GraceDuration,
    HeaderButHost,
    HeadersToSet,
    HeaderValue,
    HeadSize,
    Host,
    Later,
    List,
    Method,
    Network,
    Path,
    Percent,
    Protocol,
    Regex,
    RequestHeadersToSet,
    RespondHeaders,
    Section,
    Size,
    Token,
    Whole,
    Workers,
    bare,
    duration,
    percent,
    size,
)
from .sections.admin import Admin
from .sections.balance import Backend, Balance, Name, Zones
from .sections.chaos import Chaos
from .sections.discovery import Discover
from .sections.geo import Geo
from .sections.health import Health
from .sections.load_reports import LoadReports
from .sections.outlier import Outlier, SlowStart
from .sections.overload import Breaker, Concurrency, Priority, RateLimit, Shedding
from .sections.python_path import PythonPath
from .sections.retry import Retry, UpstreamLimits
from .sections.sticky import Sticky
from .sections.tracing import Tracing


class Listener(Section):
    bind: Bind
    """Where to listen: host:port, [v6]:port, :port for all addresses, or unix:/path. Port 0: any free one."""
    backlog: Count = 4096
    """Connections that may wait in the kernel to be accepted (listen(2))."""


class AccessLog(Section):
    path: File = "-"
    """A file, or "-" for standard output."""
    format: Literal["json", "combined"] = "json"
    """One JSON object a line, or the combined log format of Apache and nginx."""
    buffer: Size = size("64KiB")
    """The log is written when this much has gathered."""
    fields: List[Literal["backends", "queue_time", "upstream_connect_time", "upstream_header_time"]] = ()
    """Further fields, for the JSON format: all backends that were asked, and where the time went."""
    flush: Duration = duration("1s")
    """The log is written at the latest after this time."""

    @model_validator(mode="after")
    def _has_place(self) -> AccessLog:
        if self.fields and self.format != "json":
            raise ValueError("the combined format has no place for fields; write format: json")
        return self


class Timeouts(Section):
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


class Limits(Section):
    head_size: HeadSize = size("32KiB")
    """A message head: the request line or status line and all header lines."""
    target_size: HeadSize = size("8KiB")
    """The request target."""
    header_count: Count = 100
    """Header lines in one message."""
    body_size: Size = size("16MiB")
    """A request body."""
    connections: Count = 32768
    """Client connections of each worker."""
    connections_per_client: Count = 16384
    """Client connections of each worker from one address."""
    requests_per_connection: Count = 1000
    """Requests on one client connection; then it is closed."""


class Pool(Section):
    min: Whole = 0
    """Connections kept open to each backend without traffic."""
    max: Count = 1024
    """Connections to each backend, busy and idle."""
    idle: Duration = duration("55s")
    """An idle connection is closed after this time."""
    lifetime: Duration = duration("1h")
    """A connection takes no further request after this time."""
    pending: Whole = 1024
    """Requests that may wait for a connection to a backend that has `max` open."""


class UpstreamTimeouts(Section):
    connect: Duration | None = None
    """Overrides timeouts.connect."""
    response_head: Duration | None = None
    """Overrides timeouts.response_head."""
    response_idle: Duration | None = None
    """Overrides timeouts.response_idle."""


class Upstream(Section):
    balance: Annotated[Balance, bare("algorithm", Balance)] = Field(
        default_factory=lambda: Balance(algorithm="round_robin"), json_schema_extra={"default": "round_robin"}
    )
    """How a backend is picked: the name of an algorithm, "module:Class", or a mapping with parameters."""
    sticky: Sticky | None = None
    """How clients stay at their backend: by a cookie or a header; null for not at all."""
    overprovisioning: Annotated[float, Field(ge=1.0, le=100.0)] = 1.4
    """How much more than its share a priority can serve: with 1.4 the next one gets requests once less than 72% of its
    backends are healthy."""
    zones: Zones | None = None
    """Keeps requests in the zone of this proxy where that overloads nobody; null for not at all."""
    subset: Count | None = None
    """This proxy uses only so many of the backends, each proxy others; null for all."""
    backends: List[Annotated[Backend, bare("address", Backend)]] = ()
    """The app servers; a bare string is an address. At least one, or discover."""
    discover: Discover | None = None
    """Where further backends come from: DNS, a watched file, or a source of your own."""
    pool: Pool = Field(default_factory=Pool)
    """Connections to each backend that are kept and shared."""
    timeouts: UpstreamTimeouts = Field(default_factory=UpstreamTimeouts)
    """Overrides of the global timeouts for this upstream."""
    health: Health | None = None
    """Active health checks; null for none."""
    load_reports: LoadReports | None = None
    """How backends tell of their load; null for not at all, or in headers if the algorithm goes by it."""
    outlier: Outlier | None = Field(default_factory=Outlier)
    """Passive health: ejects backends that fail requests; null for not at all."""
    panic: Percent = percent("50%")
    """Below this share of healthy backends health is ignored and all are used; 0% for never."""
    slow_start: SlowStart | None = Field(default_factory=SlowStart)
    """How a backend that comes back gets its share; null for all at once."""
    retry: Retry = Field(default_factory=Retry)
    """What is sent again after a failure."""
    limits: UpstreamLimits = Field(default_factory=UpstreamLimits)
    """How much the upstream takes at a time, and what waits for it."""
    concurrency: Concurrency | None = None
    """An adaptive limit on requests in flight, learned from response times; null for none."""
    breaker: Breaker | None = None
    """The circuit breaker: refuses everything for a while if too much fails; null for none."""


class HeaderMatch(Section):
    """A condition on one header; exactly one of the keys."""

    exact: str | None = None
    """The whole value. A bare string means this."""
    present: bool | None = None
    """The header is there (true) or is not (false)."""
    regex: Regex | None = None
    """A regular expression that is found in the value."""


class Redirect(Section):
    to: Annotated[str, AfterValidator(units.check_redirect)]
    """The new location; {host}, {path} and {query} stand for those of the request."""
    status: Literal[301, 302, 303, 307, 308] = 308
    """The status code."""


class Respond(Section):
    status: Annotated[int, Field(ge=200, le=599)] = 200
    """The status code."""
    body: str = ""
    """The body, sent as UTF-8."""
    content_type: HeaderValue = "text/plain; charset=utf-8"
    """The Content-Type header."""
    headers: RespondHeaders = Field(default_factory=dict)
    """Further headers."""


class ReplacePrefix(Section):
    from_: Annotated[Path, Field(alias="from")]
    """The prefix to take away."""
    to: Path
    """What takes its place."""


class ResponseHeaders(Section):
    set: HeadersToSet = Field(default_factory=dict)
    """Headers that get this value, whatever came."""
    append: HeadersToSet = Field(default_factory=dict)
    """Header lines that are added to those that came."""
    remove: List[HeaderButHost] = ()
    """Headers that are not passed on."""


class RequestHeaders(ResponseHeaders):
    set: RequestHeadersToSet = Field(default_factory=dict)
    """Headers that get this value, whatever came. Host may be named here."""


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


class RouteLimits(Section):
    body_size: Size | None = None
    """Overrides limits.body_size."""


class Route(Section):
    """Which requests it takes (all conditions must hold), and exactly one action."""

    name: str | None = None
    """A name for logs and for people."""
    host: Host = "*"
    """"*", a host name, or "*.example.com" for every name below; without a port."""
    path: Path | None = Field(default=None, json_schema_extra={"default": "/"})
    """A path prefix that ends at a segment boundary. "/" if none of path, exact and regex is given."""
    exact: Path | None = None
    """The whole path."""
    regex: Regex | None = None
    """A regular expression for the path; its named groups serve as keys."""
    methods: Annotated[List[Method], Field(min_length=1)] | None = None
    """The methods it takes; all if absent."""
    headers: Mapping[Token, Annotated[HeaderMatch, bare("exact", HeaderMatch)]] = Field(default_factory=dict)
    """Conditions on headers: name to text, {present: bool} or {regex: text}."""
    upstream: str | None = None
    """Action: forward to this upstream."""
    redirect: Redirect | None = None
    """Action: answer with a redirect."""
    respond: Respond | None = None
    """Action: answer with a fixed response."""
    shard: Later = None
    """Shard routing is not part of this version."""
    strip_prefix: Path | None = None
    """This prefix of the path is taken away before forwarding."""
    replace_prefix: ReplacePrefix | None = None
    """This prefix of the path is replaced before forwarding."""
    request_headers: RequestHeaders = Field(default_factory=RequestHeaders)
    """Changes to the headers of the request before forwarding."""
    response_headers: ResponseHeaders = Field(default_factory=ResponseHeaders)
    """Changes to the headers of the response."""
    upgrades: List[Protocol] = ("websocket",)
    """Protocols that a connection may be switched to; an empty list allows none."""
    forward_path: Literal["canonical", "raw"] = "canonical"
    """The path sent to the backend: the form that routing has used, or the bytes that came."""
    subset: Mapping[Name, Name] = Field(default_factory=dict)
    """Labels that a backend must have to get requests of this route; all backends if there are none."""
    subset_fallback: Literal["any", "none"] = "any"
    """Who gets them if no such backend is healthy: any of the upstream, or none."""
    timeouts: RouteTimeouts = Field(default_factory=RouteTimeouts)
    """Overrides of the global timeouts for this route."""
    limits: RouteLimits = Field(default_factory=RouteLimits)
    """Overrides of the global limits for this route."""
    rate_limits: List[str] = ()
    """Names from rate_limits that hold here; each must have room."""
    priority: Priority = "normal"
    """Who is served first from a queue and refused last under overload; critical is never refused for it."""
    cache: bool = False
    """Has no effect in this version."""

    def pattern(self) -> re.Pattern[bytes] | None:
        """The regex of the path, None if it has none."""
        return re.compile(self.regex.encode()) if self.regex is not None else None

    @model_validator(mode="before")
    @classmethod
    def _any_path(cls, value: Any) -> Any:
        if isinstance(value, dict) and all(value.get(key) is None for key in ("path", "exact", "regex")):
            return {**value, "path": "/"}
        return value


class Config(Section):
    """The configuration of Qantara."""

    listeners: Annotated[List[Listener], Field(min_length=1)]
    """Where clients connect."""
    workers: Workers = 1
    """Worker processes, or auto for one per core."""
    watch: bool = False
    """Whether a change of the file is a reload."""
    python_path: PythonPath = ()
    """Folders, relative to this file, that algorithms and discovery sources of your own are imported from."""
    admin: Admin | None = None
    """The admin API on a TCP address; null for the control socket only."""
    zone: Name | None = None
    """The zone that this proxy is in; see upstreams.NAME.zones."""
    identity: Name | None = None
    """The name of this proxy among others, for subsets; its host name if absent."""
    geo: Geo | None = None
    """How the location of a client is found out, and where locations are; for geographic."""
    trusted_proxies: List[Network] = ()
    """Networks of proxies whose X-Forwarded-* and Forwarded headers are believed."""
    via: Token | None = "qantara"
    """The pseudonym in the Via header; null writes no Via."""
    forwarded: Literal["x-forwarded", "rfc7239", "both", "none"] = "x-forwarded"
    """The headers that tell backends about the client: X-Forwarded-*, Forwarded, both or none."""
    access_log: AccessLog | None = Field(
        default_factory=AccessLog, json_schema_extra={"default": {"path": "-", "format": "json"}}
    )
    """Where requests are logged; null for no log."""
    tracing: Tracing | None = None
    """OpenTelemetry traces: where they go and which are kept; null for none."""
    timeouts: Timeouts = Field(default_factory=Timeouts)
    """How long each step may take."""
    limits: Limits = Field(default_factory=Limits)
    """How much a client may send and hold."""
    shedding: Shedding | None = None
    """When a worker refuses requests, the lowest priorities first, because it has too much to do; null for never."""
    rate_limits: Mapping[Annotated[str, AfterValidator(units.check_upstream_name)], RateLimit] = Field(
        default_factory=dict
    )
    """Rate limits by name; routes say which of them hold."""
    upstreams: Mapping[Annotated[str, AfterValidator(units.check_upstream_name)], Upstream] = Field(
        default_factory=dict
    )
    """Groups of app servers, by name."""
    cache: Mapping[str, Any] | None = None
    """The edge cache. Has no effect in this version."""
    shards: Later = None
    """Shard maps are not part of this version."""
    chaos: Chaos = Field(default_factory=Chaos)
    """Faults on purpose: experiments that may be run, and what keeps them from becoming an outage."""
    routes: Annotated[List[Route], Field(min_length=1)]
    """Which request goes where; the most specific route wins."""
