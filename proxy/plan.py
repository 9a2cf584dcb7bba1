"""The plan: a checked configuration, compiled for the data path.

Law of this file: a plan never changes after it was compiled, and holds numbers, bytes and tables, no configuration
types; the live groups it only names. It is swapped by one assignment; a request finishes on the plan that it began
with. Times are seconds, sizes are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple, TypeVar

from .balancing.locations import Location
from .http1.codec import HeaderEdits
from .limits.rate import RateSpec, StoreSpec
from .limits.shedding import NORMAL, ShedSpec
from .routing import Match, RouteTable
from .runtime import Registry
from .upstream.backend import BackendSpec
from .upstream.picker import Selector
from .upstream.spec import GroupSpec

T = TypeVar("T")
Network = IPv4Network | IPv6Network


class ListenerSpec(NamedTuple):
    """Where to listen. `path` is set for a Unix socket, `host` and `port` otherwise; host "" is every address."""

    bind: str
    host: str
    port: int
    path: str
    backlog: int = 4096


class AccessLogSpec(NamedTuple):
    """Where the access log goes: "-" is standard output. `format` is json or combined; `fields` are further ones."""

    path: str
    format: str
    buffer: int
    flush: float
    fields: tuple[str, ...] = ()


class TraceSpec(NamedTuple):
    """What is traced, which traces are kept, and where they go. `share` is 0 to 1; times are seconds."""

    endpoint: str
    headers: tuple[tuple[str, str], ...] = ()
    service: str = "qantara"
    attributes: tuple[tuple[str, str], ...] = ()
    believe: str = "trusted"
    """The peers with a trusted traceparent: the value of `tracing.believe`."""
    sampled_flag: str = "share"
    """The sampled flag towards backends: share or always."""
    errors: bool = True
    slow: float = 1.0
    """Seconds; 0.0 for none."""
    sampled: bool = True
    share: float = 0.01
    buffer: int = 4096
    batch: int = 32
    interval: float = 1.0
    timeout: float = 5.0


class Settings(NamedTuple):
    """The settings of all connections and requests of a plan."""

    head_timeout: float = 10.0
    body_idle: float = 30.0
    keepalive: float = 75.0
    send_idle: float = 60.0
    half_close: float = 1.0
    drain: float = 30.0
    accept_grace: float = 5.0
    head_size: int = 32768
    target_size: int = 8192
    header_count: int = 100
    connections: int = 32768
    connections_per_client: int = 16384
    requests_per_connection: int = 1000
    via: str | None = "qantara"
    forwarded: str = "x-forwarded"
    trusted_proxies: tuple[Network, ...] = ()

    def trusts(self, address: str) -> bool:
        """Whether the forwarding headers of a peer are trusted."""
        if not self.trusted_proxies:
            return False
        try:
            ip: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self.trusted_proxies)


# --- what a plan is linked from -------------------------------------------------------------------------------------
#
# Plain values that can be pickled, made by configuration/compile.py and always constructed by keyword. A process that
# serves links them into a `Plan`; it needs nothing of the configuration for that.


class DatabaseSpec(NamedTuple):
    """A MaxMind DB: its file, the way into its records, and what the values there mean."""

    path: str
    field: str
    values: Mapping[str, bytes] = {}


class LocatorSpec(NamedTuple):
    """How the location of a client is determined: see features/geo/locator.py."""

    header: bytes | None = None
    """In lower case."""
    values: Mapping[str, bytes] = {}
    locations: Mapping[str, Location] = {}
    database: DatabaseSpec | None = None
    networks: Mapping[Network, bytes] = {}
    default: bytes = b""


class KeySpec(NamedTuple):
    """The parts of the key of a request."""

    sources: tuple[str, ...] = ()
    """client_ip, header:NAME, cookie:NAME, query:NAME or path:NAME each."""
    pattern: re.Pattern[bytes] | None = None
    """The regex of the route with the named groups for "path:"."""
    locator: LocatorSpec | None = None
    """The location of the client goes in front."""


class RateLimitSpec(NamedTuple):
    """A rate limit of a route. `store` is shared with other machines."""

    rate: RateSpec
    key: KeySpec
    store: StoreSpec | None = None


class RedirectSpec(NamedTuple):
    """A redirect; {host}, {path} and {query} in `to` are replaced by those of the request."""

    status: int
    to: str


class RespondSpec(NamedTuple):
    """A fixed response. `headers` are without Content-Type, which is only sent with a body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""


class EditSpec(NamedTuple):
    """Changes to the fields of a message head: as `HeaderEdits` takes them."""

    set: tuple[tuple[bytes, bytes], ...] = ()
    append: tuple[tuple[bytes, bytes], ...] = ()
    remove: tuple[bytes, ...] = ()


class RouteSpec(NamedTuple):
    """One route: its conditions and its action. Times are seconds, sizes are bytes."""

    name: str
    match: Match
    upstream: str = ""
    """"" for a route that is answered here (`redirect`, `respond`)."""
    group: GroupSpec | None = None
    """That of `upstream`: the same object as in PlanSpec.groups."""
    selector: Selector | None = None
    """Labels of the backends that are used; None for all."""
    key: KeySpec | None = None
    """The key for the balancing algorithm; None without one."""
    priority: int = NORMAL
    """Of `limits.shedding.PRIORITIES`."""
    redirect: RedirectSpec | None = None
    respond: RespondSpec | None = None
    rate_limits: tuple[RateLimitSpec, ...] = ()
    """In order of evaluation."""
    request_edits: EditSpec | None = None
    response_edits: EditSpec | None = None
    strip: bytes = b""
    """A path prefix to replace by `prefix`, if `rewrites`. Both without a slash at the end."""
    prefix: bytes = b""
    rewrites: bool = False
    raw_path: bool = False
    upgrades: frozenset[bytes] = frozenset()
    body_size: int = 16 * 1024 * 1024
    body_idle: float = 30.0
    response_head: float = 30.0
    response_idle: float = 300.0
    request_timeout: float = 3600.0
    tunnel_idle: float = 3600.0
    features: Mapping[str, Any] = {}
    """The plain spec of each optional feature that takes part in this route, by the key of its section ("sticky",
    "load_reports", "tracing", "shedding", ...), from the sections of the route, of its upstream and of the top level.
    An absent feature is not linked."""


class PlanSpec(NamedTuple):
    """A whole configuration as plain values: what the supervisor compiles and workers link."""

    listeners: tuple[ListenerSpec, ...]
    settings: Settings
    groups: Mapping[str, GroupSpec]
    """Upstreams by name."""
    routes: tuple[RouteSpec, ...]
    """In the order of the configuration."""
    access_log: AccessLogSpec | None = None
    shed: ShedSpec | None = None
    tracing: TraceSpec | None = None
    python_path: tuple[str, ...] = ()
    """Folders that modules of a user's own are imported from."""

    def with_members(self, members: Mapping[str, tuple[BackendSpec, ...]]) -> PlanSpec:
        """The same with the present backends of some upstreams. An upstream is partitioned by priority if one of its
        backends has one."""
        groups = {name: _with_backends(spec, members.get(name)) for name, spec in self.groups.items()}
        routes = tuple(route._replace(group=groups[route.upstream]) if route.group else route for route in self.routes)
        return self._replace(groups=groups, routes=routes)


def _with_backends(spec: GroupSpec, backends: tuple[BackendSpec, ...] | None) -> GroupSpec:
    if backends is None or backends == spec.backends:
        return spec
    balance = spec.balance
    if balance is not None and any(backend.priority for backend in backends):
        balance = balance._replace(overprovisioning=spec.overprovisioning)
    return spec._replace(backends=backends, balance=balance)


# --- linked ---


class RoutePlan:
    """One route, linked: the first stages of its chains, and the values that stages read."""

    def __init__(self, spec: RouteSpec) -> None:
        self.name = spec.name
        self.upstream = spec.upstream
        self.first: Any = None
        """The first stage (exchange.Stage)."""
        self.pick: Any = None
        """The stage that a further try begins with."""
        self.send: Any = None
        """The stage that goes on when a connection is there."""
        self.back: Any = None
        """The first station of the way back (exchange.ResponseStage)."""
        self.request_edits = edits_of(spec.request_edits)
        self.response_edits = edits_of(spec.response_edits)
        self.rewrites = spec.rewrites
        self.strip = spec.strip
        """A path prefix to take away, with `prefix` put in its place. Both without a slash at the end."""
        self.prefix = spec.prefix
        self.raw_path = spec.raw_path
        self.upgrades = spec.upgrades
        self.body_size = spec.body_size
        self.body_idle = spec.body_idle
        self.response_head = spec.response_head
        self.response_idle = spec.response_idle
        self.request_timeout = spec.request_timeout
        self.tunnel_idle = spec.tunnel_idle


def edits_of(spec: EditSpec | None) -> HeaderEdits | None:
    """The changes of one direction, as the codec applies them."""
    return HeaderEdits(dict(spec.set), dict(spec.append), list(spec.remove)) if spec is not None else None


class LinkContext:
    """What the links of one plan share."""

    def __init__(self, settings: Settings, runtime: Registry, injector: Any, key_links: Sequence[Any]) -> None:
        self.settings = settings
        self.runtime = runtime
        self.injector = injector
        """The chaos rules of this process (features/chaos/)."""
        self.key_links = key_links
        self.made: dict[Any, Any] = {}

    def key_of(self, spec: RouteSpec) -> Any:
        """The key of requests on a route (stages/request_key.py), None without one. Raises ValueError."""
        key = None
        for link in self.key_links:
            key = link(spec, self, key)
        return key

    def once(self, key: Any, make: Callable[[], T]) -> T:
        """The result of `make`, called once per key and plan."""
        if key not in self.made:
            self.made[key] = make()
        found: T = self.made[key]
        return found


class Plan:
    """A whole configuration, linked."""

    def __init__(self, spec: PlanSpec, runtime: Registry) -> None:
        self.listeners = spec.listeners
        self.settings = spec.settings
        self.specs = dict(spec.groups)
        """The spec of each upstream."""
        self.registry = runtime
        """Where the live groups are."""
        self.groups = {name: runtime.group(name) for name in spec.groups}
        """The live groups of the routes; they adopt `specs` with the plan."""
        self.balancers: dict[str, tuple[Any, Any]] = {}
        """An algorithm and a spare for each upstream, for those groups that have none like it yet."""
        self.subsets: dict[str, dict[Selector, tuple[Any, Any]]] = {}
        """The same for the subsets of each upstream that routes name."""
        self.routes = RouteTable([])
        self.access_log = spec.access_log
        self.shed = spec.shed
        """The thresholds of load shedding; None for none."""
        self.tracing = spec.tracing

    def settle_groups(self) -> None:
        """Apply this plan to the live groups and limits."""
        self.registry.shedder.adopt(self.shed)
        settings = self.settings
        for spec in self.specs.values():
            balancer, spare = self.balancers[spec.name]
            subsets = self.subsets.get(spec.name)
            self.registry.adopt(spec, balancer, settings.head_size, settings.header_count, spare, subsets)
        self.registry.keep_only(self.specs)
