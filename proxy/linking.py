"""From the specs of a plan to the plan: the chain of stages of each route, for the live state of one process.

Law of this file: it reads specs and knows nothing of the configuration. What a route does not ask for is not linked.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .balancing import Balancer
from .balancing.compose import BalanceSpec, compose, spare
from .balancing.keys import Key, make_key
from .deadlines import Sweep
from .errors import ConfigError, Problem
from .exchange import ReturnStage, Stage
from .features.chaos import OFF, Chain, Injector
from .features.geo.key import LocatedKey
from .features.geo.locator import Locator, open_locator
from .features.load_reports.stages import ReportedRelay
from .features.sticky.balancer import Marks
from .features.sticky.sessions import Sessions, sessions_on
from .features.sticky.spec import StickyRouteSpec
from .features.sticky.stages import CookieKey, CookieRelay, LearnedKey, LearnedRelay, StickyKey, set_cookie
from .features.tracing.hedging import TracedAttempt
from .features.tracing.stages import TracedReturn, TracedSend
from .features.tracing.trace import Rules
from .http1.codec import HeaderEdits, ResponseHead
from .limits.rate import StoreSpec, salt_of
from .pipeline import Admit, Connect, Fixed, Pick, Redirect, Send
from .plan import EditSpec, KeySpec, LocatorSpec, Plan, PlanSpec, RateLimitSpec, RespondSpec, RoutePlan, RouteSpec
from .python_path import use_folders
from .routing import RouteTable
from .runtime import Registry
from .scoreboard import alone
from .stages.admit import Break, RateLimit, Remote, Shed
from .stages.hedge import HedgedRelay, HedgedSend
from .stages.relay import Relay
from .stages.request_key import RequestKey
from .stages.shared_limits import SharedBuckets
from .upstream.group import Group
from .upstream.picker import Selector
from .upstream.spec import GroupSpec
from .user_code import call_guarded, user_algorithms

S = TypeVar("S")
T = TypeVar("T")

Balancers = tuple[Balancer, Balancer]
"""An algorithm, and its spare."""


def link_plan(spec: PlanSpec, registry: Registry | None = None, injector: Injector = OFF) -> Plan:
    """Link a plan for the live groups of `registry`, which are not changed by it; `injector` has the chaos rules that
    are active.

    Raises ConfigError where what was checked when the plan was compiled does not hold in this process.
    """
    use_folders(spec.python_path)
    registry = registry or Registry(alone(), Sweep())
    balancers = {
        name: _checked(f"upstreams.{name}.balance", make_balancers, each) for name, each in spec.groups.items()
    }
    subsets: dict[str, dict[Selector, Balancers]] = {}
    linker = Linker(registry, injector)
    routes = []
    for index, route in enumerate(spec.routes):
        plan = _checked(f"routes[{index}]", linker.route, route)
        routes.append((route.match, plan))
        if route.group is not None and route.selector is not None:
            made = subsets.setdefault(route.upstream, {})
            if route.selector not in made:
                made[route.selector] = _checked(f"upstreams.{route.upstream}.balance", make_balancers, route.group)
    return Plan(
        spec.listeners,
        spec.settings,
        dict(spec.groups),
        registry,
        balancers,
        RouteTable(routes),
        spec.access_log,
        spec.shed,
        spec.tracing,
        subsets,
    )


def _checked(key: str, function: Callable[[S], T], spec: S) -> T:
    try:
        return function(spec)
    except ValueError as error:
        raise ConfigError([Problem("", 0, 0, key, str(error))]) from error


def make_balancers(group: GroupSpec) -> Balancers:
    """Those of one picker. Raises ValueError."""
    balance: BalanceSpec = group.balance
    own = user_algorithms(balance)
    return call_guarded(own, "__init__", compose, balance), call_guarded(own, "__init__", spare, balance)


class Linker:
    """Links the routes of one plan."""

    def __init__(self, registry: Registry, injector: Injector) -> None:
        self.registry = registry
        self.injector = injector
        self.locators: dict[int, Locator] = {}
        """By the identity of their spec, which the routes of a plan share."""
        self.rules: Rules | None = None

    def route(self, spec: RouteSpec) -> RoutePlan:
        """Raises ValueError."""
        plan = RoutePlan(spec.name, spec.upstream)
        chain = self.injector.chain(spec.name, spec.upstream)
        plan.body_size = spec.body_size
        plan.body_idle = spec.body_idle
        plan.response_head = spec.response_head
        plan.response_idle = spec.response_idle
        plan.request_timeout = spec.request_timeout
        plan.tunnel_idle = spec.tunnel_idle
        if spec.redirect is not None:
            redirect = Redirect(spec.redirect.status, spec.redirect.to)
            plan.first = chain.before(self.limited(spec, redirect), "accept", "route")
        elif spec.respond is not None:
            plan.first = chain.before(self.limited(spec, fixed(spec.respond)), "accept", "route")
        elif spec.group is not None:
            self.forward(plan, spec, spec.group, chain)
        return plan

    def forward(self, plan: RoutePlan, spec: RouteSpec, said: GroupSpec, chain: Chain) -> None:
        """admit → pick → connect → send, and relay for the way back; with the faults of chaos rules between them."""
        group = self.registry.group(spec.upstream)
        picker = group if spec.selector is None else group.subset(spec.selector)
        tracing = self.tracing(spec)
        hedges = said.retry.hedge is not None
        send: Stage = Send() if tracing is None else TracedSend(tracing)
        if hedges:
            send = hedged = HedgedSend(group, send)
            if tracing is not None:
                hedged.attempt = TracedAttempt
        send = chain.before(send, "send")
        connect = chain.before(Connect(send), "connect")
        pick = Pick(group, picker, self.picking_key(spec, group), spec.priority, connect)
        admitted = chain.before(pick, "lookup", "pick")
        if said.breaker is not None:
            admitted = Break(group, admitted)
        admitted = Admit(admitted)
        if "shedding" in spec.features:
            admitted = Shed(self.registry.shedder, spec.priority, admitted)
        plan.first = chain.before(self.limited(spec, admitted), "accept", "route", "admit")
        relay: ReturnStage = self.relay(spec, group, pick, send)
        if said.reports is not None and said.reports.headers:
            relay = ReportedRelay(group, said.reports.headers, relay)
        if hedges:
            relay = hedged.relay = HedgedRelay(group, relay)
        relay = chain.behind(relay)
        plan.relay = relay if tracing is None else TracedReturn(tracing, relay)
        plan.request_edits = edits(spec.request_edits)
        plan.response_edits = edits(spec.response_edits)
        plan.raw_path = spec.raw_path
        plan.upgrades = spec.upgrades
        plan.rewrites, plan.strip, plan.prefix = spec.rewrites, spec.strip, spec.prefix

    # --- rate limits ---

    def limited(self, spec: RouteSpec, following: Stage) -> Stage:
        """`following` behind the rate limits of a route, in their order. Raises ValueError."""
        for limit in reversed(spec.rate_limits):
            following = self.rate_limit(limit, following)
        return following

    def rate_limit(self, limit: RateLimitSpec, following: Stage) -> Stage:
        registry, rate = self.registry, limit.rate
        board = registry.board
        remote = self.remote(limit.store) if limit.store is not None else None
        salt = salt_of(board.secret() if remote is None else 0, rate.name)
        key = RequestKey(key_parts(limit.key))
        return RateLimit(rate, salt, key, registry.buckets, board.limit_row(rate.name), remote, following)

    def remote(self, store: StoreSpec) -> Remote:
        """The buckets in a store: the same ones for all limits, and after a reload."""
        remotes = self.registry.remotes
        if store not in remotes:
            remotes[store] = SharedBuckets(store)
        remote: Remote = remotes[store]
        return remote

    # --- keys and stickiness ---

    def picking_key(self, spec: RouteSpec, group: Group) -> RequestKey | None:
        """What requests of a route are picked for by; None if the algorithm goes by nothing. Raises ValueError."""
        key: RequestKey | None = None
        if spec.key is not None and spec.key.locator is not None:
            key = LocatedKey(self.locator(spec.key.locator), key_parts(spec.key))
        elif spec.key is not None:
            key = RequestKey(key_parts(spec.key))
        sticky: StickyRouteSpec | None = spec.features.get("sticky")
        return key if sticky is None else sticky_key(sticky, key, self.sessions(sticky, group))

    def locator(self, spec: LocatorSpec) -> Locator:
        if id(spec) not in self.locators:
            self.locators[id(spec)] = open_locator(spec)
        return self.locators[id(spec)]

    def relay(self, spec: RouteSpec, group: Group, pick: Stage, send: Stage) -> Relay:
        """The way back, as far as it makes clients stick."""
        sticky: StickyRouteSpec | None = spec.features.get("sticky")
        if sticky is None:
            return Relay(group, pick, send)
        tokens, cookie, session = sticky.tokens, sticky.cookie, sticky.session
        if cookie is not None:
            return CookieRelay(group, pick, send, Marks(tokens), cookie.name, cookie.attributes)
        assert session is not None
        kind, _, name = session.source.partition(":")
        by_cookie, by_header = partial(set_cookie, name.encode() + b"="), partial(header_of, name.lower().encode())
        named = by_cookie if kind == "cookie" else by_header
        sessions = self.sessions(sticky, group)
        assert sessions is not None
        return LearnedRelay(group, pick, send, tokens.upstream, make_key(session.source, None), named, sessions)

    def sessions(self, sticky: StickyRouteSpec, group: Group) -> Sessions | None:
        """Where the sessions of an upstream are remembered."""
        session = sticky.session
        return sessions_on(group.board, sticky.tokens.upstream, session.ttl) if session is not None else None

    def tracing(self, spec: RouteSpec) -> Rules | None:
        """What is traced; the same for all routes."""
        said = spec.features.get("tracing")
        if said is not None and self.rules is None:
            self.rules = Rules(said)
        return self.rules if said is not None else None


def sticky_key(spec: StickyRouteSpec, key: RequestKey | None, sessions: Sessions | None) -> StickyKey:
    """The key of requests with the token in front of what the algorithm goes by."""
    cookie, session = spec.cookie, spec.session
    if cookie is not None:
        return CookieKey(cookie.name, cookie.strip, key)
    assert session is not None and sessions is not None
    return LearnedKey(make_key(session.source, None), sessions, key)


def header_of(name: bytes, head: ResponseHead) -> bytes | None:
    return head.get(name)


def key_parts(spec: KeySpec) -> list[Key | None]:
    """The parts of a key. Raises ValueError if one names a group that the pattern has not."""
    return [None if source == "client_ip" else make_key(source, spec.pattern) for source in spec.sources]


def fixed(spec: RespondSpec) -> Fixed:
    lines = "".join(f"{name}: {value}\r\n" for name, value in spec.headers)
    if spec.body:
        lines = f"Content-Type: {spec.content_type}\r\n{lines}"
    return Fixed(spec.status, lines, spec.body)


def edits(spec: EditSpec | None) -> HeaderEdits | None:
    return HeaderEdits(dict(spec.set), dict(spec.append), list(spec.remove)) if spec is not None else None
