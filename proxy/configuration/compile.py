"""From a checked configuration to a plan: numbers, bytes, tables, and one chain of stages per route.

Law of this file: whatever can be decided before the first request is decided here. A stage that a route does not need
is not in its chain. Names are resolved; nothing that the data path holds refers to the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from ..deadlines import Sweep
from ..errors import ConfigError, Problem
from ..exchange import Stage
from ..features.chaos import OFF, Chain, Injector
from ..features.sticky.balancer import StickySpec
from ..http1.codec import HeaderEdits, canonicalize
from ..limits.shedding import PRIORITIES
from ..pipeline import Admit, Connect, Fixed, Pick, Redirect
from ..plan import AccessLogSpec, ListenerSpec, Plan, RoutePlan, Settings
from ..python_path import use_folders
from ..routing import EXACT, PREFIX, REGEX, HeaderCondition, Match, RouteTable
from ..runtime import Registry
from ..scoreboard import alone
from ..stages.hedge import HedgedRelay, HedgedSend
from ..stages.relay import Relay
from ..upstream.backend import BackendSpec
from ..upstream.group import Group
from ..upstream.health import HealthSpec
from ..upstream.hedge import HedgeSpec
from ..upstream.passive_health import OutlierSpec
from ..upstream.retry import RetrySpec
from ..upstream.settings import LimitSpec, PoolSettings
from ..upstream.spec import GroupSpec
from .admitting import Door, compile_breaker, compile_concurrency, compile_shedding
from .discovery_rules import find_class
from .geo import compile_locator
from .picking import Picking, compile_balance, compile_key, compile_pickings, picker_of, stickiness_of
from .reporting import compile_reports, listening, stripped
from .rules import Finding, dotted
from .schema import Config, HeaderMatch, Respond, ResponseHeaders, Route, Upstream
from .sections.balance import spec_of
from .sections.health import Health, status_range
from .sections.outlier import Outlier
from .sections.retry import Hedge, Retry
from .sticking import sticky_specs
from .tracing import Tap, compile_tracing

Report = Callable[[Iterable[Finding]], tuple[Problem, ...]]


def unplaced(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Findings in a configuration that was not read from a file."""
    return tuple(Problem("", 0, 0, dotted(finding.path), finding.message) for finding in findings)


def compile_plan(
    config: Config,
    report: Report = unplaced,
    registry: Registry | None = None,
    members: Mapping[str, tuple[BackendSpec, ...]] | None = None,
    injector: Injector = OFF,
    sticky: Mapping[str, StickySpec] | None = None,
) -> Plan:
    """Compile a configuration that has been loaded, for the live groups of `registry`, which are not changed by it.
    `report` (see Loaded) gives problems their places in the file; `members` are the backends of upstreams where they
    are not those of the configuration; `injector` has the chaos rules that are active; `sticky` is how sticky upstreams
    know backends again, if that was found out before: the files that secrets stand in are then not read.

    Raises ConfigError where only the code can tell what is wrong: an algorithm of the user's own that cannot be
    imported, or does not take its parameters.
    """
    use_folders(config.python_path)
    findings = list(source_findings(config))
    if sticky is None:
        sticky, wrong = sticky_specs(config)
        findings += wrong
    specs = {
        name: compile_group(name, upstream, config, sticky.get(name), (members or {}).get(name))
        for name, upstream in config.upstreams.items()
    }
    locator = None
    try:
        locator = compile_locator(config.geo) if config.geo is not None else None
    except ValueError as error:
        findings.append(Finding(("geo", "database"), str(error)))
    pickings, wrong = compile_pickings(config, specs)
    findings += wrong
    tracing = None
    try:
        tracing = compile_tracing(config)
    except ValueError as error:
        findings.append(Finding(("tracing",), str(error)))
    registry = registry or Registry(alone(), Sweep())
    tap = Tap(tracing)
    door = Door(config, registry, locator)
    groups = {name: registry.group(name) for name in specs}
    routes = []
    if not findings:
        for index, route in enumerate(config.routes):
            try:
                plan = compile_route(index, route, config, pickings, groups, injector, door, tap)
                routes.append((compile_match(route), plan))
            except ValueError as error:
                findings.append(Finding(("routes", index), str(error)))
    if findings:
        raise ConfigError(report(findings))
    table, listeners = RouteTable(routes), compile_listeners(config)
    settings, log, shed = compile_settings(config), compile_log(config), compile_shedding(config)
    balancers = {name: picking.balancers for name, picking in pickings.items()}
    subsets = {name: picking.subsets for name, picking in pickings.items() if picking.subsets}
    return Plan(listeners, settings, specs, registry, balancers, table, log, shed, tracing, subsets)


def source_findings(config: Config) -> Iterator[Finding]:
    """What is wrong with sources of one's own, and only the code can tell."""
    for name, upstream in config.upstreams.items():
        if upstream.discover is not None and upstream.discover.source is not None:
            try:
                find_class(upstream.discover)
            except ValueError as error:
                yield Finding(("upstreams", name, "discover", "source"), str(error))


def compile_listeners(config: Config) -> tuple[ListenerSpec, ...]:
    return tuple(
        ListenerSpec(str(listener.bind), listener.bind.host, listener.bind.port, listener.bind.path, listener.backlog)
        for listener in config.listeners
    )


def compile_settings(config: Config) -> Settings:
    timeouts, limits = config.timeouts, config.limits
    return Settings(
        head_timeout=timeouts.head,
        body_idle=timeouts.body_idle,
        keepalive=timeouts.keepalive,
        send_idle=timeouts.send_idle,
        half_close=timeouts.half_close,
        drain=timeouts.drain,
        accept_grace=timeouts.accept_grace,
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
    return AccessLogSpec(log.path, log.format, log.buffer, log.flush, log.fields) if log is not None else None


def compile_group(
    name: str,
    upstream: Upstream,
    config: Config,
    sticky: StickySpec | None = None,
    members: tuple[BackendSpec, ...] | None = None,
) -> GroupSpec:
    pool, limits, slow = upstream.pool, upstream.limits, upstream.slow_start
    connect = upstream.timeouts.connect or config.timeouts.connect
    if members is None:
        members = tuple(spec_of(backend) for backend in upstream.backends)
    balance = compile_balance(upstream, config, sticky, members)
    return GroupSpec(
        name,
        members,
        balance,
        PoolSettings(pool.min, pool.max, pool.idle, pool.lifetime, pool.pending, connect),
        compile_outlier(upstream.outlier),
        compile_retry(upstream.retry),
        LimitSpec(
            limits.requests, limits.requests_per_backend, limits.queue, limits.queue_timeout, limits.queue_target
        ),
        upstream.panic,
        slow.window if slow is not None else 0.0,
        slow.floor if slow is not None else 1.0,
        compile_health(upstream.health),
        compile_breaker(upstream.breaker),
        compile_concurrency(upstream.concurrency),
        compile_reports(upstream.load_reports, balance),
        upstream.overprovisioning,
    )


def compile_health(health: Health | None) -> HealthSpec | None:
    if health is None:
        return None
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


def compile_outlier(outlier: Outlier | None) -> OutlierSpec | None:
    if outlier is None:
        return None
    percentage, rate = outlier.failure_percentage, outlier.success_rate
    return OutlierSpec(
        outlier.consecutive_5xx,
        outlier.consecutive_gateway,
        outlier.connect_failures,
        outlier.connect_ejection,
        outlier.base_ejection,
        outlier.max_ejection,
        outlier.max_ejected,
        outlier.interval,
        percentage.threshold if percentage is not None else 0.0,
        percentage.hosts if percentage is not None else 0,
        percentage.requests if percentage is not None else 0,
        rate.factor if rate is not None else 0.0,
        rate.hosts if rate is not None else 0,
        rate.requests if rate is not None else 0,
    )


def compile_retry(retry: Retry) -> RetrySpec:
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
    if hedge is None:
        return None
    return HedgeSpec(0.0 if hedge.delay == "auto" else hedge.delay, hedge.quantile)


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
    index: int,
    route: Route,
    config: Config,
    pickings: Mapping[str, Picking],
    groups: dict[str, Group],
    injector: Injector,
    door: Door,
    tap: Tap,
) -> RoutePlan:
    name = route.name or route.exact or route.regex or route.path or f"routes[{index}]"
    group = groups.get(route.upstream) if route.upstream is not None else None
    plan = RoutePlan(name, route.upstream or "")
    chain = injector.chain(plan.name, plan.upstream)
    set_limits(plan, route, config)
    if route.redirect is not None:
        redirect = Redirect(route.redirect.status, route.redirect.to)
        plan.first = chain.before(door.limited(route, redirect), "accept", "route")
    elif route.respond is not None:
        plan.first = chain.before(door.limited(route, compile_fixed(route.respond)), "accept", "route")
    elif group is not None and route.upstream is not None:
        upstream, picking = config.upstreams[route.upstream], pickings[route.upstream]
        link_stages(plan, route, upstream, picking, group, chain, door, tap)
    return plan


def link_stages(
    plan: RoutePlan,
    route: Route,
    upstream: Upstream,
    picking: Picking,
    group: Group,
    chain: Chain,
    door: Door,
    tap: Tap,
) -> None:
    """admit → pick → connect → send, and relay for the way back; with the faults of chaos rules between them."""
    spec = picking.spec
    sticky = stickiness_of(route, upstream, spec, group)
    key = compile_key(route, upstream, picking, door.locator, sticky)
    send: Stage = tap.send()
    if upstream.retry.hedge is not None:
        send = hedged = tap.hedged(HedgedSend(group, send))
    send = chain.before(send, "send")
    connect = chain.before(Connect(send), "connect")
    pick = Pick(group, picker_of(route, group), key, PRIORITIES.index(route.priority), connect)
    admitted = door.unbroken(upstream, group, chain.before(pick, "lookup", "pick"))
    admitted = door.limited(route, door.shed(route, Admit(admitted)))
    plan.first = chain.before(admitted, "accept", "route", "admit")
    back = Relay(group, pick, send) if sticky is None else sticky.relay(group, pick, send)
    relay = listening(spec.reports, group, back)
    if upstream.retry.hedge is not None:
        relay = hedged.relay = HedgedRelay(group, relay)
    plan.relay = tap.behind(chain.behind(relay))
    plan.request_edits = compile_edits(route.request_headers, tap.removed(route.request_headers.remove))
    hidden = (name.decode() for name in stripped(spec.reports))
    plan.response_edits = compile_edits(route.response_headers, (*route.response_headers.remove, *hidden))
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
    if upstream is not None and route.upstream is not None:
        per_try = config.upstreams[route.upstream].retry.per_try
        if per_try is not None:
            plan.response_head = min(plan.response_head, per_try)
    plan.request_timeout = own.request or common.request
    plan.tunnel_idle = own.tunnel_idle or common.tunnel_idle


def compile_fixed(respond: Respond) -> Fixed:
    lines = "".join(f"{name}: {value}\r\n" for name, value in respond.headers.items())
    if respond.body:
        lines = f"Content-Type: {respond.content_type}\r\n{lines}"
    return Fixed(respond.status, lines, respond.body.encode())


def compile_edits(headers: ResponseHeaders, remove: tuple[str, ...]) -> HeaderEdits | None:
    if not (headers.set or headers.append or remove):
        return None
    return HeaderEdits(
        {name.encode(): value.encode("latin-1", "replace") for name, value in headers.set.items()},
        {name.encode(): value.encode("latin-1", "replace") for name, value in headers.append.items()},
        [name.encode() for name in remove],
    )
