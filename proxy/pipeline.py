"""START HERE: the life of a request.

Law of this file: the order of everything that can stand between client and backend is the table CHAIN. The stage names
are the words used in metrics, error reasons, the access log, chaos rules and the docs. A stage processes the request
and enters the next one by a plain call; before a wait it returns, and the event continues on the way back. A plan links
only the features of a route, so a feature that is not configured costs nothing and is not even imported: a feature is
one line of the table (docs/adding-a-feature.md).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from .balancing.user_code import make_balancers
from .errors import ConfigError, Problem
from .exchange import END, NoWayBack, ResponseStage, Stage
from .features.chaos import OFF, Injector
from .features.chaos.links import faults_before, faults_on_return
from .features.geo.key import link_location
from .features.tracing.links import link_hedge
from .plan import LinkContext, Plan, PlanSpec, RoutePlan, RouteSpec
from .routing import RouteTable
from .runtime import Registry
from .stages.admit import link_admit, link_breaker, link_rate_limits, link_shedding
from .stages.connect import link_connect
from .stages.hedge import link_hedged_return
from .stages.pick import link_pick
from .stages.relay import link_relay
from .stages.request_key import link_key
from .stages.route import link_answer
from .stages.send import link_send

S = TypeVar("S")
T = TypeVar("T")

Link = Callable[[RouteSpec, LinkContext, Stage], Stage]
"""Returns the stage to enter before a given one, or that stage itself if the route does not need another."""
LinkBack = Callable[[RouteSpec, LinkContext, ResponseStage], ResponseStage]
"""The same on the way back."""


def feature(target: str) -> Any:
    """The link of an optional feature, `module:function` below features/.

    The module, or the folder that it lies in, has the name of the section that asks for the feature. It is imported
    with the first route that has this section.
    """
    module, _, name = target.partition(":")
    key = module.partition(".")[0]

    def link(spec: RouteSpec, context: LinkContext, following: Any) -> Any:
        if key not in spec.features:
            return following
        return getattr(import_module(f".features.{module}", __package__), name)(spec, context, following)

    return link


# fmt: off
CHAIN: tuple[tuple[str, tuple[Link, ...], tuple[LinkBack, ...]], ...] = (
    # stage     on the way to the backend, in this order                         on the way back, in this order
    ("accept",  (faults_before("accept", "route", "admit"),),                    ()),  # a valid head has arrived
    ("route",   (),                                                              ()),  # stages/route.py finds the route
    ("admit",   (link_rate_limits, link_answer,
                 link_shedding, link_admit, link_breaker),                       ()),  # may it come in now?
    ("lookup",  (faults_before("lookup", "pick"),),                              ()),  # (cache, not yet)
    ("pick",    (link_pick,),                                                    ()),  # further tries begin here
    ("connect", (faults_before("connect"), link_connect),                        ()),  # idle, or a new one
    ("send",    (faults_before("send"), link_hedge,
                 feature("tracing.links:link_trace"), link_send),                ()),  # head and body out
    ("relay",   (),                                                              (
                 feature("tracing.links:link_trace_return"),
                 faults_on_return, link_hedged_return,
                 feature("load_reports.stages:link_reports"),
                 feature("sticky.links:link_sticky"),
                 link_relay)),                                                         # the response, last of all
    ("store",   (),                                                              ()),  # (cache, not yet)
    ("finish",  (),                                                              ()),  # stages/finish.py: count, log
)
# fmt: on
KEYS = (link_key, link_location, feature("sticky.links:link_token"))
"""The links of the request key, each one around the one before."""
STAGES = tuple(stage for stage, _, _ in CHAIN)


def link_route(spec: RouteSpec, context: LinkContext) -> RoutePlan:
    """The chain of one route, both ways, and the values that its stages read. Raises ValueError."""
    plan = RoutePlan(spec)
    back: ResponseStage = NoWayBack()
    following: Stage = END
    for stage, links, links_back in reversed(CHAIN):
        for link_back in reversed(links_back):
            back = link_back(spec, context, back)
        for link in reversed(links):
            following = link(spec, context, following)
            if link is link_pick:
                plan.pick = following
        if stage == "send":
            plan.send = following
    plan.first = following
    plan.back = back
    return plan


def link_plan(spec: PlanSpec, runtime: Registry | None = None, injector: Injector = OFF) -> Plan:
    """Link a plan for the live groups of `runtime`, which are not changed by it; `injector` has the chaos rules that
    are active.

    Raises ConfigError for a spec that is invalid in this process, although it was valid when it was compiled.
    """
    runtime = runtime or Registry.alone()
    context = LinkContext(spec.settings, runtime, injector, KEYS)
    plan = Plan(spec, runtime)
    for name, group in spec.groups.items():
        plan.balancers[name] = _checked(f"upstreams.{name}.balance", make_balancers, group.balance)
    routes = []
    for index, route in enumerate(spec.routes):
        routes.append((route.match, _checked(f"routes[{index}]", lambda each: link_route(each, context), route)))
        if route.group is not None and route.selector is not None:
            made = plan.subsets.setdefault(route.upstream, {})
            if route.selector not in made:
                key, balance = f"upstreams.{route.upstream}.balance", route.group.balance
                made[route.selector] = _checked(key, make_balancers, balance)
    plan.routes = RouteTable(routes)
    return plan


def _checked(key: str, function: Callable[[S], T], spec: S) -> T:
    try:
        return function(spec)
    except ValueError as error:
        raise ConfigError([Problem("", 0, 0, key, str(error))]) from error
