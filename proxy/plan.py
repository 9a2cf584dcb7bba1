"""The plan: a checked configuration, compiled for the data path.

Law of this file: a plan never changes after it was compiled, and holds numbers, bytes and tables, no configuration
types; the live groups it only names. It is swapped by one assignment; a request finishes on the plan that it began
with. Times are seconds, sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, NamedTuple

from .http1.codec import HeaderEdits
from .limits.shedding import ShedSpec
from .routing import RouteTable
from .runtime import Registry
from .upstream.picker import Selector
from .upstream.spec import GroupSpec

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
    """Whose traceparent is gone on with: nobody, trusted, everybody."""
    sampled_flag: str = "share"
    """When backends are told that the trace is recorded: share, always."""
    errors: bool = True
    slow: float = 1.0
    """0.0 for however slow."""
    sampled: bool = True
    share: float = 0.01
    buffer: int = 4096
    batch: int = 32
    interval: float = 1.0
    timeout: float = 5.0


class Settings(NamedTuple):
    """What holds for every connection and request of a plan."""

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
        """Whether a peer's forwarding headers are believed."""
        if not self.trusted_proxies:
            return False
        try:
            ip: IPv4Address | IPv6Address = ip_address(address)
        except ValueError:
            return False
        if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        return any(ip in network for network in self.trusted_proxies)


class RoutePlan:
    """One route, compiled: the first stage of its pipeline and what the stages need to know."""

    def __init__(self, name: str, upstream: str = "") -> None:
        self.name = name
        self.upstream = upstream
        self.first: Any = None
        """The stage after `route`."""
        self.relay: Any = None
        """The first stage of the way back."""
        self.request_edits: HeaderEdits | None = None
        self.response_edits: HeaderEdits | None = None
        self.rewrites = False
        self.strip = b""
        """A path prefix to take away, with `prefix` put in its place. Both without a slash at the end."""
        self.prefix = b""
        self.raw_path = False
        self.upgrades: frozenset[bytes] = frozenset()
        self.body_size = 16 * 1024 * 1024
        self.body_idle = 30.0
        self.response_head = 30.0
        self.response_idle = 300.0
        self.request_timeout = 3600.0
        self.tunnel_idle = 3600.0


class Plan:
    """A whole configuration, compiled."""

    def __init__(
        self,
        listeners: tuple[ListenerSpec, ...],
        settings: Settings,
        specs: dict[str, GroupSpec],
        registry: Registry,
        balancers: dict[str, tuple[Any, Any]],
        routes: RouteTable,
        access_log: AccessLogSpec | None,
        shed: ShedSpec | None = None,
        tracing: TraceSpec | None = None,
        subsets: Mapping[str, Mapping[Selector, tuple[Any, Any]]] | None = None,
    ) -> None:
        self.listeners = listeners
        self.settings = settings
        self.specs = specs
        """What is said of each upstream."""
        self.registry = registry
        """Where the live groups are."""
        self.groups = {name: registry.group(name) for name in specs}
        """The live groups that the routes lead to; they take `specs` up when the plan is adopted."""
        self.balancers = balancers
        """An algorithm and a spare for each upstream, for those groups that have none like it yet."""
        self.subsets = subsets or {}
        """The same for the subsets of each upstream that routes name."""
        self.routes = routes
        self.access_log = access_log
        self.shed = shed
        """When requests are refused because the worker has too much to do; None for never."""
        self.tracing = tracing

    def settle_groups(self) -> None:
        """Let what is live take up what this plan says of it."""
        self.registry.shedder.adopt(self.shed)
        settings = self.settings
        for spec in self.specs.values():
            balancer, spare = self.balancers[spec.name]
            subsets = self.subsets.get(spec.name)
            self.registry.adopt(spec, balancer, settings.head_size, settings.header_count, spare, subsets)
        self.registry.keep_only(self.specs)
