"""From a checked configuration to the spec of a plan: numbers, bytes and tables that a process links (linking.py).

Law of this file: whatever can be decided before the first request is decided here. Names are resolved; nothing that the
data path holds refers to the configuration.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..errors import ConfigError, Problem
from ..features.sticky.balancer import StickySpec
from ..http1.codec import canonicalize
from ..limits.shedding import PRIORITIES, ShedSpec
from ..plan import (
    AccessLogSpec,
    EditSpec,
    ListenerSpec,
    LocatorSpec,
    PlanSpec,
    RedirectSpec,
    RespondSpec,
    RouteSpec,
    Settings,
    TraceSpec,
)
from ..routing import EXACT, PREFIX, REGEX, HeaderCondition, Match
from ..upstream.health import HealthSpec
from ..upstream.hedge import HedgeSpec
from ..upstream.passive_health import OutlierSpec
from ..upstream.retry import RetrySpec
from ..upstream.settings import LimitSpec, PoolSettings
from ..upstream.spec import GroupSpec
from .admitting import compile_breaker, compile_concurrency, compile_rate_limit, compile_shedding
from .discovery_rules import find_class
from .geo import compile_locator
from .picking import Needs, compile_balance, compile_key, compile_pickings, selector_of
from .reporting import compile_reports, stripped
from .rules import Finding, dotted
from .schema import Config, HeaderMatch, Respond, ResponseHeaders, Route, Upstream
from .sections.balance import spec_of
from .sections.health import Health, status_range
from .sections.outlier import Outlier
from .sections.retry import Hedge, Retry
from .sticking import sticky_route_spec, sticky_specs
from .tracing import compile_tracing, removed

Report = Callable[[Iterable[Finding]], tuple[Problem, ...]]


def unplaced(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Findings in a configuration that was not read from a file."""
    return tuple(Problem("", 0, 0, dotted(finding.path), finding.message) for finding in findings)


def compile_plan(config: Config, report: Report = unplaced) -> PlanSpec:
    """Compile a configuration that has been loaded. `report` (see Loaded) gives problems their places in the file.

    Raises ConfigError where only the code can tell what is wrong: an algorithm of the user's own that cannot be
    imported, or does not take its parameters.
    """
    findings = list(source_findings(config))
    sticky, wrong = sticky_specs(config)
    findings += wrong
    groups = {name: compile_group(name, each, config, sticky.get(name)) for name, each in config.upstreams.items()}
    locator = None
    try:
        locator = compile_locator(config.geo) if config.geo is not None else None
    except ValueError as error:
        findings.append(Finding(("geo", "database"), str(error)))
    needs, wrong = compile_pickings(config, groups)
    findings += wrong
    tracing = None
    try:
        tracing = compile_tracing(config)
    except ValueError as error:
        findings.append(Finding(("tracing",), str(error)))
    routes: list[RouteSpec] = []
    if not findings:
        whole = Whole(config, groups, needs, locator, tracing, compile_shedding(config))
        for index, route in enumerate(config.routes):
            try:
                routes.append(compile_route(index, route, whole))
            except ValueError as error:
                findings.append(Finding(("routes", index), str(error)))
    if findings:
        raise ConfigError(report(findings))
    return PlanSpec(
        listeners=compile_listeners(config),
        settings=compile_settings(config),
        groups=groups,
        routes=tuple(routes),
        access_log=compile_log(config),
        shed=compile_shedding(config),
        tracing=tracing,
    )


class Whole(NamedTuple):
    """What the routes of a configuration have in common."""

    config: Config
    groups: Mapping[str, GroupSpec]
    needs: Mapping[str, Needs]
    locator: LocatorSpec | None
    tracing: TraceSpec | None
    shedding: ShedSpec | None


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


def compile_group(name: str, upstream: Upstream, config: Config, sticky: StickySpec | None = None) -> GroupSpec:
    pool, limits, slow = upstream.pool, upstream.limits, upstream.slow_start
    connect = upstream.timeouts.connect or config.timeouts.connect
    balance = compile_balance(upstream, config, sticky)
    return GroupSpec(
        name,
        tuple(spec_of(backend) for backend in upstream.backends),
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


def compile_route(index: int, route: Route, whole: Whole) -> RouteSpec:
    """Raises ValueError."""
    config, name = whole.config, route.upstream
    spec = RouteSpec(
        name=route.name or route.exact or route.regex or route.path or f"routes[{index}]",
        match=compile_match(route),
        upstream=name or "",
        redirect=RedirectSpec(route.redirect.status, route.redirect.to) if route.redirect is not None else None,
        respond=compile_fixed(route.respond) if route.respond is not None else None,
        rate_limits=tuple(compile_rate_limit(limit, config.rate_limits[limit], route) for limit in route.rate_limits),
        priority=PRIORITIES.index(route.priority),
        **route_limits(route, config),
    )
    return spec if name is None else forwarded(spec, route, config.upstreams[name], name, whole)


def forwarded(spec: RouteSpec, route: Route, upstream: Upstream, name: str, whole: Whole) -> RouteSpec:
    """The part of a route that leads to an upstream. Raises ValueError."""
    group = whole.groups[name]
    key = compile_key(route, upstream, whole.needs[name], whole.locator)
    hidden = (name.decode() for name in stripped(group.reports))
    strip, replace = route.strip_prefix, route.replace_prefix
    if replace is not None:
        strip = replace.from_
    return spec._replace(
        group=group,
        selector=selector_of(route),
        key=key,
        request_edits=compile_edits(route.request_headers, removed(route.request_headers.remove, whole.tracing)),
        response_edits=compile_edits(route.response_headers, (*route.response_headers.remove, *hidden)),
        rewrites=strip is not None,
        strip=canonical(strip) if strip is not None else b"",
        prefix=canonical(replace.to) if replace is not None else b"",
        raw_path=route.forward_path == "raw",
        upgrades=frozenset(token.lower().encode() for token in route.upgrades),
        features=compile_features(route, upstream, group, whole),
    )


def compile_features(route: Route, upstream: Upstream, group: GroupSpec, whole: Whole) -> dict[str, Any]:
    """The specs of the optional features that take part, by the keys of their sections."""
    sticky = group.balance.sticky
    found = {
        "sticky": sticky_route_spec(upstream.sticky, sticky, route) if upstream.sticky and sticky else None,
        "load_reports": group.reports,
        "breaker": group.breaker,
        "tracing": whole.tracing,
        "shedding": whole.shedding,
    }
    return {key: spec for key, spec in found.items() if spec is not None}


def canonical(prefix: str) -> bytes:
    """A prefix in the form that paths of requests have, without a slash at the end."""
    return (canonicalize(prefix.encode()) or prefix.encode()).rstrip(b"/")


def route_limits(route: Route, config: Config) -> dict[str, Any]:
    """The route's own limits and time-outs, else its upstream's, else the global ones."""
    own, common = route.timeouts, config.timeouts
    upstream = config.upstreams[route.upstream].timeouts if route.upstream is not None else None
    head = own.response_head or (upstream and upstream.response_head) or common.response_head
    if upstream is not None and route.upstream is not None:
        per_try = config.upstreams[route.upstream].retry.per_try
        if per_try is not None:
            head = min(head, per_try)
    return {
        "body_size": route.limits.body_size or config.limits.body_size,
        "body_idle": own.body_idle or common.body_idle,
        "response_head": head,
        "response_idle": own.response_idle or (upstream and upstream.response_idle) or common.response_idle,
        "request_timeout": own.request or common.request,
        "tunnel_idle": own.tunnel_idle or common.tunnel_idle,
    }


def compile_fixed(respond: Respond) -> RespondSpec:
    headers = tuple(respond.headers.items())
    return RespondSpec(respond.status, headers, respond.body.encode(), respond.content_type)


def compile_edits(headers: ResponseHeaders, remove: tuple[str, ...]) -> EditSpec | None:
    if not (headers.set or headers.append or remove):
        return None
    return EditSpec(_encoded(headers.set), _encoded(headers.append), tuple(name.encode() for name in remove))


def _encoded(fields: Mapping[str, str]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((name.encode(), value.encode("latin-1", "replace")) for name, value in fields.items())
