"""From a checked configuration to the spec of a plan: numbers, bytes and tables that a process links (pipeline.py).

Law of this file: it calls the hooks of the sections and combines their specs. All decisions that do not depend on a
request are made here. Names are resolved; the data path has no reference to the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..balancing.python_path import use_folders
from ..errors import ConfigError, Problem, RefusedAt
from ..limits.shedding import PRIORITIES
from ..plan import PlanSpec, RouteSpec, Settings
from ..upstream.spec import GroupSpec
from .findings import Finding, Path, dotted
from .picking import Needs, key_of, selector_of, tried_out
from .schema import Config, Route, UpstreamSection
from .sections import ROUTE, SECTIONS, TOP, UPSTREAM, Entry, sections
from .sections.headers import edits_of
from .sections.match import match_of
from .sections.rate_limits import limits_of
from .sections.respond import redirect_of, respond_of
from .sections.rewrites import rewrites_of
from .site import Site

Report = Callable[[Iterable[Finding]], tuple[Problem, ...]]


def unplaced(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """Findings in a configuration that was not read from a file."""
    return tuple(Problem("", 0, 0, dotted(finding.path), finding.message) for finding in findings)


def compile_plan(config: Config, report: Report = unplaced) -> PlanSpec:
    """Compile a configuration that has been loaded. `report` (see Loaded) gives problems their places in the file.

    Raises ConfigError for errors that only running the code shows: an algorithm of the user's own that cannot be
    imported, or does not accept its parameters.
    """
    use_folders(config.python_path)
    findings: list[Finding] = []
    top = specs_of(TOP, (), config, Site(config, {}), findings)
    groups = {name: compile_group(name, each, config, top, findings) for name, each in config.upstreams.items()}
    needs, wrong = tried_out(config, {name: found.spec for name, found in groups.items()})
    findings += wrong
    routes: list[RouteSpec] = []
    if not findings:
        whole = Whole(config, top, groups, needs)
        for index, route in enumerate(config.routes):
            try:
                routes.append(compile_route(index, route, whole, findings))
            except ValueError as error:
                findings.append(Finding(("routes", index), str(error)))
    if findings:
        raise ConfigError(report(findings))
    return PlanSpec(
        listeners=top["listeners"],
        settings=compile_settings(config),
        groups={name: found.spec for name, found in groups.items()},
        routes=tuple(routes),
        access_log=top.get("access_log"),
        shed=top.get("shedding"),
        tracing=top.get("tracing"),
        python_path=config.python_path,
    )


class CompiledGroup(NamedTuple):
    """An upstream, compiled."""

    spec: GroupSpec
    sections: Mapping[str, Any]
    """The specs of its sections."""


class Whole(NamedTuple):
    """The common values of a configuration's routes."""

    config: Config
    top: Mapping[str, Any]
    """The specs of the sections at the top level."""
    groups: Mapping[str, CompiledGroup]
    needs: Mapping[str, Needs]


def specs_of(where: str, path: Path, parent: Any, site: Site, findings: list[Finding]) -> dict[str, Any]:
    """The specs of the sections in `parent`, by key, without absent ones; and the findings."""
    found: dict[str, Any] = {}
    for entry in sections(where):
        try:
            spec = _spec(entry, getattr(parent, entry.key, None), site._replace(specs={**site.specs, **found}))
        except ValueError as error:
            inside = error.path if isinstance(error, RefusedAt) else ()
            findings.append(Finding((*path, entry.key, *inside), str(error)))
            continue
        if spec is not None:
            found[entry.key] = spec
    return found


def _spec(entry: Entry, section: Any, site: Site) -> Any:
    hook = entry.hook("absent" if section is None else "to_spec")
    if hook is None:
        return None
    return hook(site) if section is None else hook(section, site)


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


def compile_group(
    name: str, upstream: UpstreamSection, config: Config, top: Mapping[str, Any], findings: list[Finding]
) -> CompiledGroup:
    site = Site(config, top, name, upstream)
    found = specs_of(UPSTREAM, ("upstreams", name), upstream, site, findings)
    window, floor = found.get("slow_start", (0.0, 1.0))
    spec = GroupSpec(
        name=name,
        backends=found["backends"],
        balance=found["balance"],
        pool=found["pool"],
        outlier=found.get("outlier"),
        retry=found["retry"],
        limits=found["limits"],
        panic=upstream.panic,
        slow_start=window,
        slow_start_floor=floor,
        health=found.get("health"),
        breaker=found.get("breaker"),
        concurrency=found.get("concurrency"),
        reports=found.get("load_reports"),
        overprovisioning=upstream.overprovisioning,
    )
    return CompiledGroup(spec, found)


def compile_route(index: int, route: Route, whole: Whole, findings: list[Finding]) -> RouteSpec:
    """Errors of its sections are added to `findings`. Raises ValueError for other errors."""
    config, name = whole.config, route.upstream
    site = Site(config, whole.top, route=route)
    if name is not None:
        group = whole.groups[name]
        site = Site(config, {**whole.top, **group.sections}, name, config.upstreams[name], group.spec, route)
    own = specs_of(ROUTE, ("routes", index), route, site, findings)
    spec = RouteSpec(
        name=route.name or route.exact or route.regex or route.path or f"routes[{index}]",
        match=match_of(route),
        upstream=name or "",
        redirect=redirect_of(route.redirect),
        respond=respond_of(route.respond),
        rate_limits=limits_of(route, config),
        priority=PRIORITIES.index(route.priority),
        features=features_of(site._replace(specs=own)),
        **route_limits(route, config),
    )
    return spec if name is None else forwarded(spec, site._replace(specs={**site.specs, **own}), whole)


def forwarded(spec: RouteSpec, site: Site, whole: Whole) -> RouteSpec:
    """The part of a route that leads to an upstream. Raises ValueError."""
    upstream, route = site.upstream_section, site.route_section
    hidden = {
        side: tuple(header for entry in SECTIONS for header in _hidden(entry, side, site.specs))
        for side in ("request", "response")
    }
    return spec._replace(
        group=site.group,
        selector=selector_of(route),
        key=key_of(route, upstream, whole.needs[site.name], whole.top.get("geo")),
        request_edits=edits_of(route.request_headers, hidden["request"]),
        response_edits=edits_of(route.response_headers, hidden["response"]),
        upgrades=frozenset(token.lower().encode() for token in route.upgrades),
        features=features_of(site),
        **rewrites_of(route),
    )


def features_of(site: Site) -> dict[str, Any]:
    """The specs of the optional sections that apply to a route, by key, from all levels."""
    found: dict[str, Any] = {}
    for entry in SECTIONS:
        spec = site.specs.get(entry.key) if entry.after else None
        if spec is not None:
            hook = entry.hook("route_spec")
            found[entry.key] = spec if hook is None else hook(spec, site)
    return found


def _hidden(entry: Entry, side: str, specs: Mapping[str, Any]) -> tuple[str, ...]:
    """Header names that a section removes from the messages of one direction."""
    hook, spec = entry.hook(f"hides_{side}"), specs.get(entry.key)
    return tuple(hook(spec)) if hook is not None and spec is not None else ()


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
