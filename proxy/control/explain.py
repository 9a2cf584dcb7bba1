"""What would happen to a request, and why: decided by the same code that would serve it, without sending it.

Law of this file: nothing that runs is touched. What the workers know of backends is copied from the scoreboard into one
of its own, and the plan is compiled for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from time import monotonic_ns
from typing import Any
from urllib.parse import urlsplit

from ..balancing.user_code import call_guarded, user_algorithms
from ..configuration.schema import Config, Route
from ..configuration.values import quoted
from ..errors import BODY_TOO_LARGE, NO_ROUTE, ProtocolError, Reason
from ..exchange import END, ClientStream, Exchange, Stage
from ..features.geo.key import LocatedKey
from ..features.sticky.stages import StickyKey
from ..http.peer import Peer
from ..http1.codec import RequestHead
from ..limits.buckets import Buckets
from ..limits.rate import bucket_key, salt_of
from ..metrics import Counters
from ..pipeline import link_plan
from ..plan import Plan, PlanSpec, RoutePlan, RouteSpec
from ..routing import EXACT, PREFIX, Match, RouteTable
from ..runtime import Registry
from ..scoreboard import EJECTED_FOR, EJECTED_UNTIL, IN_FLIGHT, ROW, Scoreboard
from ..stages import rewrite as rewriting
from ..stages.admit import RateLimit
from ..stages.pick import Pick
from ..upstream.backend import Backend
from ..upstream.group import Group
from .admin.views import state_of
from .explain_sticky import explain_sticky
from .explain_tracing import explain_tracing

Explanation = dict[str, Any]
"""As JSON: see docs/operations.md."""
UNIX = "unix"
"""What stands for the address of a client on a Unix socket (exchange.Client)."""


def request_bytes(method: str, url: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """The head that a client would send for this URL, or for a path alone. Raises ValueError."""
    if not url.isascii() or any(byte <= " " or byte == "\x7f" for byte in url):
        raise ValueError("the URL must be percent-encoded, without spaces")
    parts = urlsplit(url)
    if parts.scheme not in ("", "http", "https"):
        raise ValueError(f"the URL begins with {parts.scheme}:, not with http: or /")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{name}: {value}" for name, value in headers]
    if not any(name.lower() == "host" for name, _ in headers):
        lines.insert(0, f"Host: {parts.netloc.rpartition('@')[2] or 'localhost'}")
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1", "replace")


def parse_client(text: str) -> str:
    """The address of a client as its socket would have it. Raises ValueError."""
    if text == UNIX:
        return text
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError(
            f"must be an IP address, or {UNIX} for a client on a Unix socket, not {quoted(text)}"
        ) from None


def explain(
    config: Config,
    spec: PlanSpec,
    request: bytes,
    client: str = "127.0.0.1",
    board: Scoreboard | None = None,
) -> Explanation:
    """What would happen to a request of `client`; `spec` is what the configuration was compiled to, with the backends
    that the upstreams have now, `board` that of a running proxy.

    Raises ConfigError if it cannot be linked, ValueError if an algorithm of a user's own fails over it.
    """
    plan = link_plan(spec, Registry.alone())
    head = RequestHead()
    limits = config.limits
    head.max_size, head.max_count, head.max_target = limits.head_size, limits.header_count, limits.target_size
    try:
        if not head.parse(request, 0):
            return {"refused": _reason(NO_ROUTE) | {"why": "the head is not complete"}}
    except ProtocolError as error:
        return {"refused": _reason(error.reason)}
    if board is not None:
        _copy_states(plan, board)
    own = sorted({name for spec in plan.specs.values() if (name := user_algorithms(spec.balance))})
    call_guarded(" or ".join(own), "members", plan.settle_groups)
    x = _exchange(head, plan, client)
    found: Explanation = {
        "request": {
            "method": head.method.decode("latin-1"),
            "host": head.host.decode("latin-1"),
            "path": head.path.decode("latin-1"),
            "client": x.client_address(),
        }
    }
    indexed = [(route.match, index) for index, route in enumerate(spec.routes)]
    winner: int | None = RouteTable(indexed).find(head)
    found["routes"] = [
        {"route": _name(route, index), "matches": not why, "why": why}
        for (match, index), route in zip(indexed, config.routes, strict=True)
        for why in [", ".join(_against(match, head))]
    ]
    if winner is None:
        return found | {"refused": _reason(NO_ROUTE)}
    found["routes"][winner]["chosen"] = True
    route_plan: RoutePlan = plan.routes.find(head)
    x.route = route_plan
    found["route"] = _name(config.routes[winner], winner)
    if plan.tracing is not None:
        found["tracing"] = explain_tracing(plan.tracing, x)
    return found | _action(config, config.routes[winner], spec.routes[winner], route_plan, x, board=board)


def _exchange(head: RequestHead, plan: Plan, address: str) -> Exchange:
    x = Exchange()
    peer = Peer()
    peer.address = address
    peer.introduce(plan.settings)
    x.head, x.plan, x.client = head, plan, ClientStream(peer, Counters())
    return x


def _reason(reason: Reason) -> Explanation:
    return {"reason": reason.name, "status": reason.status, "why": reason.hint}


def _name(route: Route, index: int) -> str:
    return route.name or f"routes[{index}]"


def _copy_states(plan: Plan, board: Scoreboard) -> None:
    """What is known of each backend, as one worker would see it that has all requests."""
    mine = plan.registry.board
    for spec in plan.specs.values():
        for backend in spec.backends:
            theirs = board.backend_rows(spec.name, backend.address)
            rows = mine.backend_rows(spec.name, backend.address)
            rows[:ROW] = theirs[:ROW]
            rows[ROW + IN_FLIGHT] = sum(theirs[ROW + IN_FLIGHT :: ROW])
            until, at = max((theirs[at + EJECTED_UNTIL], at) for at in range(0, len(theirs), ROW))
            rows[ROW + EJECTED_UNTIL], rows[ROW + EJECTED_FOR] = until, theirs[at + EJECTED_FOR]


# --- which route --------------------------------------------------------------------------------------


def _against(match: Match, head: RequestHead) -> Iterator[str]:
    """Why a route does not take a request; nothing if it would."""

    def fits(part: Match) -> bool:
        return RouteTable([(part, True)]).find(head) is not None

    if not fits(Match(host=match.host)):
        yield f"host is not {match.host.decode()}"
    if not fits(Match(kind=match.kind, text=match.text)):
        text = match.text.decode("latin-1")
        kind = {EXACT: "path is not", PREFIX: "path is not below"}.get(match.kind, "path does not match")
        yield f"{kind} {text}"
    if match.methods is not None and head.method not in match.methods:
        yield f"method is not {b' or '.join(sorted(match.methods)).decode()}"
    for condition in match.headers:
        if not condition.holds(head):
            has = head.get(condition.name)
            yield f"header {condition.name.decode()} is {'missing' if has is None else has.decode('latin-1')}"


# --- what it does -------------------------------------------------------------------------------------


def _action(
    config: Config, route: Route, spec: RouteSpec, plan: RoutePlan, x: Exchange, *, board: Scoreboard | None
) -> Explanation:
    found: Explanation = {"rate_limits": [_rate_limit(stage, x, board) for stage in _stages(plan) if _limits(stage)]}
    if route.redirect is not None:
        return found | {"redirect": {"status": route.redirect.status, "to": rewriting.location(route.redirect.to, x)}}
    if route.respond is not None:
        return found | {"respond": {"status": route.respond.status, "body": route.respond.body[:200]}}
    if x.head.content_length > plan.body_size:
        found["refused"] = _reason(BODY_TOO_LARGE)
    path = rewriting.rewritten_path(x, plan) if plan.rewrites or plan.raw_path else None
    assert x.plan is not None
    group = x.plan.groups[plan.upstream]
    retry = group.spec.retry
    again = x.head.idempotent or retry.non_idempotent
    return found | {
        "forward": {
            "upstream": plan.upstream,
            "path": (path if path is not None else x.head.path).decode("latin-1"),
            "query": x.head.query_string().decode("latin-1"),
            "priority": route.priority,
            "timeouts": {
                "request": plan.request_timeout,
                "response_head": plan.response_head,
                "response_idle": plan.response_idle,
                "body_idle": plan.body_idle,
            },
            "body_size": plan.body_size,
            "retries": retry.attempts if again else 0,
            "retries_why": "" if again else "the method is not idempotent: only a failed connect is tried elsewhere",
        },
        "cache": "this route has no cache",
        "shard": "this route has no shards",
        **_candidates(config, group, x, spec, plan, board=board),
    }


def _stages(plan: RoutePlan) -> Iterator[Stage]:
    stage: Stage = plan.first
    while stage is not END:
        yield stage
        stage = stage.next


def _limits(stage: Stage) -> bool:
    return isinstance(stage, RateLimit)


def _rate_limit(stage: Any, x: Exchange, board: Scoreboard | None) -> Explanation:
    key = stage.key.of(x)
    parts = ["client_ip" if each is None else "key" for each in stage.key.parts]
    found = {"name": stage.spec.name, "burst": stage.spec.burst, "keys": parts, "limited": key is not None}
    if key is not None and board is not None:
        salt = _salt(stage, board)
        used = Buckets(board.buckets()).used(bucket_key(salt, key), monotonic_ns())
        found["left"] = max(0, (stage.depth - used) // stage.interval)
    return found


def _salt(stage: Any, board: Scoreboard) -> bytes:
    return stage.salt if stage.remote is not None else salt_of(board.secret(), stage.spec.name)


def _candidates(
    config: Config, group: Group, x: Exchange, spec: RouteSpec, plan: RoutePlan, *, board: Scoreboard | None
) -> Explanation:
    """The backends, why each may be picked or not, and which one a key leads to."""
    balance = config.upstreams[group.name].balance
    pick = next((stage for stage in _stages(plan) if isinstance(stage, Pick)), None)
    picker = pick.target.picker if pick is not None else group
    total = sum(backend.weight for backend in picker.usable)
    rows = []
    for backend in group.members.all:
        usable = backend in picker.usable
        rows.append(_candidate(backend, usable, backend.weight / total if usable and total else 0.0))
    found: Explanation = {
        "balance": {"algorithm": balance.algorithm, "panic": picker.panicking},
        "candidates": rows,
    }
    if picker.selector is not None:
        found["balance"]["subset"] = dict(picker.selector.labels)
    source, balancer = pick.key if pick is not None else None, picker.balancer
    sticky = spec.features.get("sticky")
    if sticky is not None and isinstance(source, StickyKey):
        found["sticky"] = explain_sticky(sticky, balancer, group.members.all, source, x, board=board)
        source, balancer = source.key, balancer.main
    if source is not None:
        key = source.of(x)
        picked: Backend | None = call_guarded(user_algorithms(group.spec.balance), "pick", balancer.pick, key)
        found["balance"] |= {
            "key": " + ".join(["location"] * isinstance(source, LocatedKey) + list(balance.key)),
            "value": key.decode("latin-1").replace("\n", " ") if key is not None else None,
            "picked": picked.name if picked is not None else None,
        }
    return found


def _candidate(backend: Backend, usable: bool, share: float) -> Explanation:
    state, why = state_of(backend.rows, monotonic_ns())
    return {
        "backend": backend.name,
        "usable": usable,
        "state": state,
        "why": why,
        "weight": backend.wanted_weight(),
        "share": round(share, 4),
        "in_flight": backend.load(),
    }
