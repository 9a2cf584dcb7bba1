"""From a checked configuration to a plan: numbers, bytes, tables, and one chain of stages per route.

Law of this file: whatever can be decided before the first request is decided here. A stage that a route does not need
is not in its chain. Names are resolved; nothing that the data path holds refers to the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ..balancing import Balancer, create
from ..balancing.keys import make_key
from ..errors import ConfigError, Problem
from ..exchange import Stage
from ..http1.codec import HeaderEdits, canonicalize
from ..pipeline import Admit, Connect, Fixed, Pick, Redirect, Relay, Send
from ..plan import AccessLogSpec, ListenerSpec, Plan, RoutePlan, Settings
from ..routing import EXACT, PREFIX, REGEX, HeaderCondition, Match, RouteTable
from ..upstream.backend import Backend, BackendSpec
from ..upstream.group import Group, PoolSettings
from .problems import Finding, dotted
from .schema import Config, HeaderMatch, Respond, ResponseHeaders, Route, Upstream

Report = Callable[[Iterable[Finding]], tuple[Problem, ...]]


def unplaced(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Findings in a configuration that was not read from a file."""
    return tuple(Problem("", 0, 0, dotted(finding.path), finding.message) for finding in findings)


def compile_plan(config: Config, report: Report = unplaced) -> Plan:
    """Compile a configuration that has been loaded. `report` (see Loaded) gives problems their places in the file.

    Raises ConfigError where only the code can tell what is wrong: an algorithm of the user's own that cannot be
    imported, or does not take its parameters.
    """
    findings: list[Finding] = []
    groups = {name: compile_group(name, upstream, config) for name, upstream in config.upstreams.items()}
    balancers: dict[str, Balancer] = {}
    for name, upstream in config.upstreams.items():
        try:
            balancers[name] = create(upstream.balance.algorithm, **upstream.balance.params)
            balancers[name].rebuild(groups[name].members)
        except ValueError as error:
            findings.append(Finding(("upstreams", name, "balance"), str(error)))
    routes = []
    if not findings:
        for index, route in enumerate(config.routes):
            try:
                routes.append((compile_match(route), compile_route(index, route, config, groups, balancers)))
            except ValueError as error:
                findings.append(Finding(("routes", index), str(error)))
    if findings:
        raise ConfigError(report(findings))
    listeners = tuple(
        ListenerSpec(str(listener.bind), listener.bind.host, listener.bind.port, listener.bind.path, listener.backlog)
        for listener in config.listeners
    )
    return Plan(listeners, compile_settings(config), groups, RouteTable(routes), compile_log(config))


def compile_settings(config: Config) -> Settings:
    timeouts, limits = config.timeouts, config.limits
    return Settings(
        head_timeout=timeouts.head,
        body_idle=timeouts.body_idle,
        keepalive=timeouts.keepalive,
        send_idle=timeouts.send_idle,
        half_close=timeouts.half_close,
        drain=timeouts.drain,
        head_size=limits.head_size,
        target_size=limits.target_size,
        header_count=limits.header_count,
        connections=limits.connections,
        connections_per_client=limits.connections_per_client,
        requests_per_connection=limits.requests_per_connection,
        via=config.via,
        forwarded=config.forwarded,
        trusted_proxies=tuple(config.trusted_proxies),
    )


def compile_log(config: Config) -> AccessLogSpec | None:
    log = config.access_log
    return AccessLogSpec(log.path, log.format, log.buffer, log.flush) if log is not None else None


def compile_group(name: str, upstream: Upstream, config: Config) -> Group:
    members = []
    for backend in upstream.backends:
        address = backend.address
        spec = BackendSpec(str(address), address.host, address.port, address.path, backend.weight, backend.region)
        members.append(Backend(spec))
    pool = upstream.pool
    connect = upstream.timeouts.connect or config.timeouts.connect
    settings = PoolSettings(pool.min, pool.max, pool.idle, pool.lifetime, pool.pending, connect)
    return Group(name, tuple(members), settings)


def compile_match(route: Route) -> Match:
    kind, text = PREFIX, route.path or "/"
    if route.exact is not None:
        kind, text = EXACT, route.exact
    elif route.regex is not None:
        kind, text = REGEX, route.regex
    return Match(
        host=route.host.encode(),
        kind=kind,
        text=text.encode(),
        methods=frozenset(method.encode() for method in route.methods) if route.methods else None,
        headers=tuple(compile_condition(name, match) for name, match in route.headers.items()),
    )


def compile_condition(name: str, match: HeaderMatch) -> HeaderCondition:
    return HeaderCondition(
        name=name.lower().encode(),
        present=match.present is not False,
        equals=match.exact.encode("latin-1", "replace") if match.exact is not None else None,
        pattern=re.compile(match.regex.encode()) if match.regex is not None else None,
    )


def compile_route(
    index: int, route: Route, config: Config, groups: dict[str, Group], balancers: dict[str, Balancer]
) -> RoutePlan:
    name = route.name or route.exact or route.regex or route.path or f"routes[{index}]"
    group = groups.get(route.upstream) if route.upstream is not None else None
    plan = RoutePlan(name, route.upstream or "")
    set_limits(plan, route, config)
    if route.redirect is not None:
        plan.first = Redirect(route.redirect.status, route.redirect.to)
    elif route.respond is not None:
        plan.first = compile_fixed(route.respond)
    elif group is not None and route.upstream is not None:
        link_stages(plan, route, config.upstreams[route.upstream], group, balancers[route.upstream])
    return plan


def link_stages(plan: RoutePlan, route: Route, upstream: Upstream, group: Group, balancer: Balancer) -> None:
    """admit → pick → connect → send, and relay for the way back."""
    key = None
    if balancer.needs_key:
        if upstream.balance.key is None:
            raise ValueError(
                f"the algorithm of upstream {group.name!r} needs a key: say where it comes from with `key`"
            )
        pattern = re.compile(route.regex.encode()) if route.regex is not None else None
        key = make_key(upstream.balance.key, pattern)
    send: Stage = Send()
    pick = Pick(balancer, key, Connect(send))
    plan.first = Admit(pick)
    plan.relay = Relay(pick, send, len(group.members) == 1)
    plan.request_edits = compile_edits(route.request_headers)
    plan.response_edits = compile_edits(route.response_headers)
    plan.raw_path = route.forward_path == "raw"
    plan.upgrades = frozenset(token.lower().encode() for token in route.upgrades)
    if route.strip_prefix is not None:
        plan.rewrites = True
        plan.strip = canonical(route.strip_prefix)
    elif route.replace_prefix is not None:
        plan.rewrites = True
        plan.strip = canonical(route.replace_prefix.from_)
        plan.prefix = canonical(route.replace_prefix.to)


def canonical(prefix: str) -> bytes:
    """A prefix in the form that paths of requests have, without a slash at the end."""
    return (canonicalize(prefix.encode()) or prefix.encode()).rstrip(b"/")


def set_limits(plan: RoutePlan, route: Route, config: Config) -> None:
    """The route's own limits and time-outs, else its upstream's, else the global ones."""
    own, common = route.timeouts, config.timeouts
    upstream = config.upstreams[route.upstream].timeouts if route.upstream is not None else None
    plan.body_size = route.limits.body_size or config.limits.body_size
    plan.body_idle = own.body_idle or common.body_idle
    plan.response_head = own.response_head or (upstream and upstream.response_head) or common.response_head
    plan.response_idle = own.response_idle or (upstream and upstream.response_idle) or common.response_idle
    plan.request_timeout = own.request or common.request
    plan.tunnel_idle = own.tunnel_idle or common.tunnel_idle


def compile_fixed(respond: Respond) -> Fixed:
    lines = "".join(f"{name}: {value}\r\n" for name, value in respond.headers.items())
    if respond.body:
        lines = f"Content-Type: {respond.content_type}\r\n{lines}"
    return Fixed(respond.status, lines, respond.body.encode())


def compile_edits(headers: ResponseHeaders) -> HeaderEdits | None:
    if not (headers.set or headers.append or headers.remove):
        return None
    return HeaderEdits(
        {name.encode(): value.encode("latin-1", "replace") for name, value in headers.set.items()},
        {name.encode(): value.encode("latin-1", "replace") for name, value in headers.append.items()},
        [name.encode() for name in headers.remove],
    )
