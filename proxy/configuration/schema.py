"""The configuration as frozen models: every key, its type, its default, and one sentence about it.

The sentences below the fields reach the JSON Schema. Invariant: a model accepts exactly the keys of its section and
is independent of other sections. Rules that span keys or sections are hooks of the sections; only `load` returns a
`Config` that obeys them all. The optional sections are added from the table (sections/__init__.py). The reason for each
default is in docs/configuration.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, create_model, model_validator

from . import values as units
from .fields import (
    Count,
    Host,
    Later,
    List,
    Method,
    Network,
    Path,
    Percent,
    Protocol,
    Regex,
    Section,
    Token,
    Workers,
    bare,
    percent,
)
from .sections import ROUTE, TOP, UPSTREAM, sections
from .sections.access_log import AccessLogSection
from .sections.admin import AdminSection
from .sections.backends import BackendSection
from .sections.balance import BalanceSection
from .sections.headers import RequestHeaders, ResponseHeaders
from .sections.limits import LimitsSection, RouteLimits
from .sections.listeners import ListenerSection
from .sections.match import HeaderMatch
from .sections.names import Name
from .sections.pool import PoolSection
from .sections.python_path import PythonPath
from .sections.rate_limits import RateLimitSection
from .sections.respond import RedirectSection, Respond
from .sections.retry import RetrySection
from .sections.rewrites import ReplacePrefix
from .sections.shedding import Priority
from .sections.timeouts import RouteTimeouts, TimeoutsSection, UpstreamTimeouts
from .sections.upstream_limits import UpstreamLimits

if TYPE_CHECKING:
    from pydantic.config import JsonDict

    from .sections.breaker import BreakerSection
    from .sections.chaos import ChaosSection
    from .sections.concurrency import ConcurrencySection
    from .sections.discover import DiscoverSection
    from .sections.geo import GeoSection
    from .sections.health import HealthSection
    from .sections.load_reports import LoadReportsSection
    from .sections.outlier import OutlierSection
    from .sections.shedding import SheddingSection
    from .sections.slow_start import SlowStartSection
    from .sections.sticky import StickySection
    from .sections.tracing import TracingSection
    from .sections.zones import ZonesSection


CHOICES: JsonDict = {
    "oneOf": [{"required": [action]} for action in ("upstream", "redirect", "respond")],
    "dependentSchemas": {
        "strip_prefix": {"required": ["upstream"], "not": {"required": ["replace_prefix"]}},
        "replace_prefix": {"required": ["upstream"]},
    },
}
"""The rules across the keys of a route that a JSON Schema can say too."""


def extended(base: type[Section], name: str, where: str) -> Any:
    """A model with the keys of `base` and those of the optional sections at the level `where`, in order."""
    optional = [entry for entry in sections(where) if entry.after]
    added: dict[str, Any] = {}
    order = list(base.__pydantic_fields__)
    for entry in optional:
        annotation, default = entry.hook("FIELD") or (entry.model | None, {"default": None})
        added[entry.key] = (annotation, Field(description=entry.hook("ABOUT"), **default))
        order.insert(order.index(entry.after) + 1, entry.key)
    model: Any = create_model(name, __base__=base, __module__=__name__, __doc__=base.__doc__, **added)
    fields = dict(model.__pydantic_fields__)
    model.__pydantic_fields__.clear()
    model.__pydantic_fields__.update({key: fields[key] for key in order})
    return model


class UpstreamBase(Section):
    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["backends"]}, {"required": ["discover"]}]})

    balance: Annotated[BalanceSection, bare("algorithm", BalanceSection)] = Field(
        default_factory=lambda: BalanceSection(algorithm="round_robin"), json_schema_extra={"default": "round_robin"}
    )
    """How a backend is picked: the name of an algorithm, "module:Class", or a mapping with parameters."""
    overprovisioning: Annotated[float, Field(ge=1.0, le=100.0)] = 1.4
    """The overprovisioning factor of a priority: with 1.4 the next one gets requests once less than 72% of its backends
    are healthy."""
    subset: Count | None = None
    """The number of backends that this proxy uses, a different subset for each proxy; null for all."""
    backends: List[Annotated[BackendSection, bare("address", BackendSection)]] = ()
    """The app servers; a bare string is an address. At least one, or discover."""
    pool: PoolSection = Field(default_factory=PoolSection)
    """Connections to each backend that are kept and shared."""
    timeouts: UpstreamTimeouts = Field(default_factory=UpstreamTimeouts)
    """Overrides of the global timeouts for this upstream."""
    panic: Percent = percent("50%")
    """The panic threshold: below this share of healthy backends health is ignored and all are used; 0% for never."""
    retry: RetrySection = Field(default_factory=RetrySection)
    """Retries and hedging."""
    limits: UpstreamLimits = Field(default_factory=UpstreamLimits)
    """Limits on requests in flight, and the queue."""


if TYPE_CHECKING:

    class UpstreamSection(UpstreamBase):
        """With the optional sections, for typed access by name."""

        sticky: StickySection | None = None
        zones: ZonesSection | None = None
        discover: DiscoverSection | None = None
        health: HealthSection | None = None
        load_reports: LoadReportsSection | None = None
        outlier: OutlierSection | None = None
        slow_start: SlowStartSection | None = None
        concurrency: ConcurrencySection | None = None
        breaker: BreakerSection | None = None

else:
    UpstreamSection = extended(UpstreamBase, "UpstreamSection", UPSTREAM)


class RouteBase(Section):
    """The conditions on a request, all of which must hold, and exactly one action."""

    model_config = ConfigDict(json_schema_extra=CHOICES)

    name: str | None = None
    """The name of the route in logs and metrics."""
    host: Host = "*"
    """"*", a host name, or "*.example.com" for every name below; without a port."""
    path: Path | None = Field(default=None, json_schema_extra={"default": "/"})
    """A path prefix that ends at a segment boundary. "/" if none of path, exact and regex is given."""
    exact: Path | None = None
    """The whole path."""
    regex: Regex | None = None
    """A regular expression for the path; its named groups serve as keys."""
    methods: Annotated[List[Method], Field(min_length=1)] | None = None
    """The methods that match; all if absent."""
    headers: Mapping[Token, Annotated[HeaderMatch, bare("exact", HeaderMatch)]] = Field(default_factory=dict)
    """Conditions on headers: name to text, {present: bool} or {regex: text}."""
    upstream: str | None = None
    """Action: forward to this upstream."""
    redirect: RedirectSection | None = None
    """Action: answer with a redirect."""
    respond: Respond | None = None
    """Action: answer with a fixed response."""
    shard: Later = None
    """Shard routing is not part of this version."""
    strip_prefix: Path | None = None
    """This prefix of the path is removed before forwarding."""
    replace_prefix: ReplacePrefix | None = None
    """This prefix of the path is replaced before forwarding."""
    request_headers: RequestHeaders = Field(default_factory=RequestHeaders)
    """Changes to the headers of the request before forwarding."""
    response_headers: ResponseHeaders = Field(default_factory=ResponseHeaders)
    """Changes to the headers of the response."""
    upgrades: List[Protocol] = ("websocket",)
    """Protocols that a connection may be switched to; an empty list allows none."""
    forward_path: Literal["canonical", "raw"] = "canonical"
    """The path sent to the backend: the canonical form, as used by routing, or the bytes received."""
    subset: Mapping[Name, Name] = Field(default_factory=dict)
    """Labels that a backend must have to get requests of this route; all backends if empty."""
    subset_fallback: Literal["any", "none"] = "any"
    """The backends used if none with these labels is healthy: any of the upstream, or none."""
    timeouts: RouteTimeouts = Field(default_factory=RouteTimeouts)
    """Overrides of the global timeouts for this route."""
    limits: RouteLimits = Field(default_factory=RouteLimits)
    """Overrides of the global limits for this route."""
    rate_limits: List[str] = ()
    """Names from rate_limits that apply to this route; a request needs a token from each."""
    priority: Priority = "normal"
    """The order in which queued requests are served, and the reverse order of load shedding; critical is never shed."""
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


if TYPE_CHECKING:

    class Route(RouteBase):
        """With the optional sections, for typed access by name."""

else:
    Route = extended(RouteBase, "Route", ROUTE)


class ConfigBase(Section):
    """The configuration of Qantara."""

    listeners: Annotated[List[ListenerSection], Field(min_length=1)]
    """The addresses that clients connect to."""
    workers: Workers = 1
    """Worker processes, or auto for one per core."""
    watch: bool = False
    """Whether a change of the file triggers a reload."""
    python_path: PythonPath = ()
    """Folders, relative to this file, from which algorithms and discovery sources of your own are imported."""
    admin: AdminSection | None = None
    """The admin API on a TCP address; null for the control socket only."""
    zone: Name | None = None
    """The zone that this proxy is in; see upstreams.NAME.zones."""
    identity: Name | None = None
    """The unique name of this proxy, for subsets; the host name if absent."""
    trusted_proxies: List[Network] = ()
    """Networks of proxies with trusted X-Forwarded-* and Forwarded headers."""
    via: Token | None = "qantara"
    """The pseudonym in the Via header; null writes no Via."""
    forwarded: Literal["x-forwarded", "rfc7239", "both", "none"] = "x-forwarded"
    """The headers that pass the client's address to backends: X-Forwarded-*, Forwarded, both or none."""
    access_log: AccessLogSection | None = Field(
        default_factory=AccessLogSection, json_schema_extra={"default": {"path": "-", "format": "json"}}
    )
    """The access log; null for none."""
    timeouts: TimeoutsSection = Field(default_factory=TimeoutsSection)
    """The time-out of each step."""
    limits: LimitsSection = Field(default_factory=LimitsSection)
    """Limits on messages and client connections."""
    rate_limits: Mapping[Annotated[str, AfterValidator(units.check_upstream_name)], RateLimitSection] = Field(
        default_factory=dict
    )
    """Rate limits by name; see routes[].rate_limits."""
    upstreams: Mapping[Annotated[str, AfterValidator(units.check_upstream_name)], UpstreamSection] = Field(
        default_factory=dict
    )
    """Groups of app servers, by name."""
    cache: Mapping[str, Any] | None = None
    """The edge cache. Has no effect in this version."""
    shards: Later = None
    """Shard maps are not part of this version."""
    routes: Annotated[List[Route], Field(min_length=1)]
    """The routes; the most specific one that matches wins."""


if TYPE_CHECKING:

    class Config(ConfigBase):
        """With the optional sections, for typed access by name."""

        geo: GeoSection | None = None
        tracing: TracingSection | None = None
        shedding: SheddingSection | None = None
        chaos: ChaosSection

else:
    Config = extended(ConfigBase, "Config", TOP)
