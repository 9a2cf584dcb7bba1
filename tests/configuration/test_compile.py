"""From configuration to plan: what a key becomes, which stages a route gets, what only the code can refuse."""

from __future__ import annotations

import re
from ipaddress import ip_network

import pytest

from proxy.balancing.round_robin import RoundRobin
from proxy.configuration.load import load_text
from proxy.errors import ConfigError
from proxy.exchange import END
from proxy.http1.codec import RequestHead
from proxy.plan import Plan, RoutePlan, RouteSpec, Settings
from proxy.routing import Match
from proxy.stages.admit import Admit
from proxy.stages.connect import Connect
from proxy.stages.pick import Pick
from proxy.stages.relay import Relay
from proxy.stages.route import Fixed, Redirect
from proxy.stages.send import Send
from proxy.upstream.health import HealthSpec
from proxy.upstream.spec import GroupSpec
from tests.support.plans import linked

HEAD = "listeners: [{bind: '127.0.0.1:0'}]\n"
APP = "upstreams: {app: {backends: ['127.0.0.1:9001', 'unix:/run/app.sock']}}\n"


def plan_of(text: str) -> Plan:
    if "listeners:" not in text:
        text = HEAD + text
    return linked(load_text(text, "c.yaml").config)


def route_of(text: str, upstreams: str = APP) -> RoutePlan:
    """The plan of the only route."""
    found = plan_of(f"{upstreams}routes: [{{{text}}}]\n").routes.find(head())
    assert isinstance(found, RoutePlan)
    return found


def head(target: bytes = b"/") -> RequestHead:
    parsed = RequestHead()
    parsed.parse(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target, 0)
    return parsed


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        plan_of(text)
    return [f"{problem.key}: {problem.message}" for problem in caught.value.problems]


# --- settings -------------------------------------------------------------------------------------------


def test_the_defaults_of_the_plan_are_those_of_the_configuration() -> None:
    assert plan_of("routes: [{respond: {}}]\n").settings == Settings()
    route = route_of("upstream: app")
    fresh = RoutePlan(RouteSpec("fresh", Match()))
    for name in ("body_size", "body_idle", "response_head", "response_idle", "request_timeout", "tunnel_idle"):
        assert getattr(route, name) == getattr(fresh, name), name


EVERY_SETTING = """
timeouts: {head: 1s, body_idle: 2s, keepalive: 3s, send_idle: 4s, half_close: 5s, drain: 6s, accept_grace: 7s}
limits: {head_size: 1KiB, target_size: 512B, header_count: 7, connections: 8, connections_per_client: 9,
         requests_per_connection: 10}
via: edge
forwarded: both
trusted_proxies: [10.0.0.1/8, "fd00::/8", 192.0.2.7]
routes: [{respond: {}}]
"""


def test_every_setting_arrives() -> None:
    networks = tuple(ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "192.0.2.7/32"))
    expected = Settings(1, 2, 3, 4, 5, 6, 7, 1024, 512, 7, 8, 9, 10, "edge", "both", networks)
    assert plan_of(EVERY_SETTING).settings == expected


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("192.0.2.7", True),
        ("192.0.2.8", False),
        ("fd12::1", True),
        ("fe80::1", False),
        ("::ffff:10.0.0.1", True),
        ("unix", False),
        ("", False),
    ],
)
def test_trusted_proxies(address: str, trusted: bool) -> None:
    assert plan_of(EVERY_SETTING).settings.trusts(address) is trusted


def test_the_access_log() -> None:
    assert plan_of("routes: [{respond: {}}]\n").access_log == ("-", "json", 65536, 1.0, ())
    assert plan_of("access_log: null\nroutes: [{respond: {}}]\n").access_log is None
    text = "access_log: {path: /x, format: combined, buffer: 1KiB, flush: 2s}\nroutes: [{respond: {}}]\n"
    assert plan_of(text).access_log == ("/x", "combined", 1024, 2.0, ())
    text = "access_log: {fields: [queue_time, backends]}\nroutes: [{respond: {}}]\n"
    assert plan_of(text).access_log == ("-", "json", 65536, 1.0, ("queue_time", "backends"))


def test_listeners() -> None:
    text = (
        "listeners: [{bind: ':80'}, {bind: '[::1]:81', backlog: 5}, {bind: 'unix:/run/q'}]\nroutes: [{respond: {}}]\n"
    )
    found = [(each.host, each.port, each.path, each.backlog) for each in plan_of(text).listeners]
    assert found == [("", 80, "", 4096), ("::1", 81, "", 5), ("", 0, "/run/q", 4096)]


def test_groups() -> None:
    plan = plan_of(
        "upstreams: {app: {backends: [{address: 'a:1', weight: 3, region: eu}, 'unix:/s'],\n"
        "  pool: {min: 1, max: 2, idle: 3s, lifetime: 4s, pending: 5}, timeouts: {connect: 6s}}}\n"
        "routes: [{upstream: app}]\n"
    )
    spec = plan.specs["app"]
    assert spec.pool == (1, 2, 3.0, 4.0, 5, 6.0)
    assert [(b.address, b.weight, b.host, b.port, b.path, b.region) for b in spec.backends] == [
        ("a:1", 3, "a", 1, "", "eu"),
        ("unix:/s", 1, "", 0, "/s", None),
    ]


# --- overrides ------------------------------------------------------------------------------------------


def test_the_route_goes_before_the_upstream_and_the_upstream_before_all() -> None:
    upstreams = (
        "timeouts: {response_head: 1s, response_idle: 1s, body_idle: 1s, request: 1s, tunnel_idle: 1s}\n"
        "limits: {body_size: 1KiB}\n"
        "upstreams: {app: {backends: ['a:1'], timeouts: {response_head: 2s, response_idle: 2s}}}\n"
    )
    plain = route_of("upstream: app", upstreams)
    assert (plain.response_head, plain.response_idle, plain.body_idle) == (2, 2, 1)
    assert (plain.request_timeout, plain.tunnel_idle, plain.body_size) == (1, 1, 1024)
    own = route_of(
        "upstream: app, limits: {body_size: 2KiB},"
        " timeouts: {response_head: 3s, body_idle: 3s, request: 3s, tunnel_idle: 3s}",
        upstreams,
    )
    assert (own.response_head, own.response_idle, own.body_idle) == (3, 2, 3)
    assert (own.request_timeout, own.tunnel_idle, own.body_size) == (3, 3, 2048)


# --- stages ---------------------------------------------------------------------------------------------


def test_a_forwarding_route_has_the_stages_in_order() -> None:
    route = route_of("upstream: app")
    chain, stage = [], route.first
    while stage is not END:
        chain.append(stage)
        stage = stage.next
    assert [type(each) for each in chain] == [Admit, Pick, Connect, Send]
    assert isinstance(route.back, Relay)
    assert (route.upstream, route.request_edits, route.response_edits) == ("app", None, None)


def test_routes_of_one_upstream_share_its_group() -> None:
    plan = plan_of(f"{APP}routes: [{{path: /a, upstream: app}}, {{path: /b, upstream: app}}]\n")
    first, second = (plan.routes.find(head(path)).pick.target.group for path in (b"/a", b"/b"))
    assert first is second is plan.groups["app"]
    assert isinstance(plan.balancers["app"][0], RoundRobin)


RESILIENCE = """
upstreams:
  app:
    backends: ['a:1', 'b:1']
    outlier: {consecutive_5xx: 1, consecutive_gateway: 2, connect_failures: 3, connect_ejection: 4s, base_ejection: 5s,
              max_ejection: 6s, max_ejected: 7%, interval: 8s,
              failure_percentage: {threshold: 9%, hosts: 10, requests: 11},
              success_rate: {factor: 1.5, hosts: 12, requests: 13}}
    panic: 14%
    slow_start: {window: 15s, floor: 16%}
    retry: {attempts: 3, on: [error, 503], non_idempotent: true, per_try: 1s, deadline: 17s, backoff: 18ms,
            backoff_max: 19ms, budget: 20%, budget_min: 21, buffer: 22B, retry_after_max: 23s}
    limits: {requests: 24, requests_per_backend: 25, queue: 26, queue_timeout: 27s}
routes: [{upstream: app}]
"""


def test_every_setting_of_an_upstream_arrives() -> None:
    spec = plan_of(RESILIENCE).specs["app"]
    assert spec.outlier == (1, 2, 3, 4, 5, 6, 0.07, 8, 0.09, 10, 11, 1.5, 12, 13)
    assert (spec.panic, spec.slow_start, spec.slow_start_floor) == (0.14, 15, 0.16)
    assert list(spec.retry) == [3, True, False, {503}, True, 1, 17, 0.018, 0.019, 0.2, 21, 22, 23, None]
    assert tuple(spec.limits) == (24, 25, 26, 27, 0.1)


def test_health_arrives() -> None:
    text = (
        "upstreams: {app: {backends: ['a:1'], health: {type: tcp, path: /h, method: head, headers: {X-A: b}, port: 7,"
        " expect: {status: [204, '300-399'], body: ok}, interval: 1s, timeout: 2s, fall: 4, rise: 5,"
        " fast_interval: 6s, jitter: 7%, initial: down, reported: false}}}\nroutes: [{upstream: app}]\n"
    )
    spec = plan_of(text).specs["app"].health
    assert spec is not None
    assert spec.body is not None
    assert spec._replace(body=None) == HealthSpec(
        "tcp", "HEAD", "/h", (("X-A", "b"),), 7, ((204, 204), (300, 399)), None, 1, 2, 4, 5, 1, 0.07, False, False
    )
    default = plan_of("upstreams: {app: {backends: ['a:1'], health: {}}}\nroutes: [{upstream: app}]\n")
    assert default.specs["app"].health == HealthSpec()


@pytest.mark.parametrize("status", ["600", "99", "300-200", "2xx", "200-", "200 - 299"])
def test_a_range_of_statuses_that_is_none(status: str) -> None:
    text = f"upstreams: {{app: {{backends: ['a:1'], health: {{expect: {{status: ['{status}']}}}}}}}}\n"
    with pytest.raises(ConfigError, match="must be a status such as 204 or a range"):
        plan_of(text + "routes: [{upstream: app}]\n")


def test_what_is_null_is_off() -> None:
    off = "upstreams: {app: {backends: ['a:1'], outlier: null, slow_start: null}}\nroutes: [{upstream: app}]\n"
    spec = plan_of(off).specs["app"]
    assert (spec.outlier, spec.slow_start) == (None, 0)
    some = "upstreams: {app: {backends: ['a:1'], outlier: {failure_percentage: null, success_rate: null}}}\n"
    outlier = plan_of(some + "routes: [{upstream: app}]\n").specs["app"].outlier
    assert outlier is not None
    assert (outlier.failure_percentage, outlier.success_rate_factor) == (0, 0)


def test_the_defaults_of_a_group_are_those_of_the_configuration() -> None:
    spec = plan_of(f"{APP}routes: [{{upstream: app}}]\n").specs["app"]
    assert spec == GroupSpec("app", spec.backends, spec.balance)


def test_the_time_of_one_try_bounds_that_of_the_response_head() -> None:
    app = "upstreams: {app: {backends: ['a:1'], retry: {per_try: 2s}}}\n"
    assert route_of("upstream: app", app).response_head == 2
    assert route_of("upstream: app, timeouts: {response_head: 1s}", app).response_head == 1


def test_other_actions_have_one_stage() -> None:
    assert isinstance(route_of("redirect: {to: /x}").first, Fixed)  # the same for every request
    assert isinstance(route_of("redirect: {to: 'https://{host}{path}'}").first, Redirect)
    assert isinstance(route_of("respond: {}").first, Fixed)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: mine, path: /", "mine"),
        ("path: /", "/"),
        ("regex: '^/'", "^/"),
        ("exact: /", "/"),
        ("host: x", "/"),
    ],
)
def test_the_name_of_a_route(text: str, name: str) -> None:
    assert route_of(f"{text}, respond: {{}}").name == name


def test_upgrades_and_raw_paths() -> None:
    assert route_of("upstream: app").upgrades == {b"websocket"}
    assert route_of("upstream: app, upgrades: []").upgrades == frozenset()
    assert route_of("upstream: app, upgrades: [WebSocket, foo/2]").upgrades == {b"websocket", b"foo/2"}
    assert not route_of("upstream: app").raw_path
    assert route_of("upstream: app, forward_path: raw").raw_path


def test_conditions() -> None:
    routes = plan_of(
        "routes:\n- {path: /a, methods: [post], headers: {X-A: '1'}, respond: {}, name: a}\n"
        "- {path: /a, headers: {X-B: {regex: '^2'}, X-C: {present: false}}, respond: {}, name: b}\n"
    ).routes

    def find(data: bytes) -> str | None:
        parsed = RequestHead()
        parsed.parse(data, 0)
        found = routes.find(parsed)
        return found.name if found is not None else None

    assert find(b"POST /a HTTP/1.1\r\nHost: x\r\nx-a: 1\r\n\r\n") == "a"
    assert find(b"GET /a HTTP/1.1\r\nHost: x\r\nx-a: 1\r\n\r\n") is None
    assert find(b"GET /a HTTP/1.1\r\nHost: x\r\nX-B: 21\r\n\r\n") == "b"
    assert find(b"GET /a HTTP/1.1\r\nHost: x\r\nX-B: 21\r\nX-C: \r\n\r\n") is None


# --- refused by the code alone ----------------------------------------------------------------------------


def balance(text: str) -> str:
    return f"upstreams: {{app: {{balance: {text}, backends: ['a:1']}}}}\nroutes: [{{upstream: app}}]\n"


KEYED = "tests.balancing.algorithms:LastByKey"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (balance("'no.such:Thing'"), "upstreams.app.balance: .*No module named"),
        (balance("'json:dumps'"), "upstreams.app.balance: .*"),
        (balance("{algorithm: round_robin, speed: 1}"), "upstreams.app.balance: .*"),
        (balance(f"'{KEYED}'"), r"upstreams.app.balance: .*needs a key"),
        (balance(f"{{algorithm: '{KEYED}', key: 'path:id'}}"), r"routes\[0\]: .*a regex that has a group named 'id'"),
        (balance(f"{{algorithm: '{KEYED}', key: 'header:a', nonsense: 1}}"), "upstreams.app.balance: .*nonsense"),
    ],
)
def test_algorithms_that_cannot_be_used(text: str, expected: str) -> None:
    (problem,) = refused(text)
    assert re.fullmatch(expected, problem) or re.match(expected, problem)


def blocks(balance: str, route: str = "upstream: app") -> str:
    """The value of `balance` begins in line 4, column 14, the route in line 7, column 3."""
    return f"{HEAD}upstreams:\n  app:\n    balance: {balance}\n    backends: ['a:1']\nroutes:\n- {route}\n"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (blocks("'no.such:Thing'"), "c.yaml:4:14: upstreams.app.balance: "),
        (blocks("'tests.balancing.algorithms:Missing'"), "c.yaml:4:14: upstreams.app.balance: "),
        (blocks("'json:JSONDecoder'"), "c.yaml:4:14: upstreams.app.balance: "),
        (blocks("{algorithm: 'no.such:Thing'}"), "c.yaml:4:14: upstreams.app.balance: "),
        (blocks("{algorithm: round_robin, speed: 1}"), "c.yaml:4:14: upstreams.app.balance: "),
        (blocks(f"'{KEYED}'"), "c.yaml:4:14: upstreams.app.balance: "),
        (blocks(f"{{algorithm: '{KEYED}', key: 'path:id'}}", "{path: /x, upstream: app}"), "c.yaml:7:3: routes[0]: "),
    ],
    ids=["module", "class", "another kind", "long form", "parameter", "no key", "no group"],
)
def test_what_only_the_code_refuses_has_a_place(text: str, place: str) -> None:
    loaded = load_text(text, "c.yaml")
    with pytest.raises(ConfigError) as caught:
        linked(loaded.config, loaded.report)
    (problem,) = caught.value.problems
    assert str(problem).startswith(place)


def test_all_that_only_the_code_refuses_is_placed_in_the_order_of_the_file() -> None:
    text = (
        f"{HEAD}upstreams:\n  b: {{balance: 'no.b:B', backends: ['b:1']}}\n"
        "  a: {balance: 'no.a:A', backends: ['a:1']}\nroutes:\n- {path: /a, upstream: a}\n- {upstream: b}\n"
    )
    loaded = load_text(text, "c.yaml")
    with pytest.raises(ConfigError) as caught:
        linked(loaded.config, loaded.report)
    assert [(p.line, p.column, p.key) for p in caught.value.problems] == [
        (3, 16, "upstreams.b.balance"),
        (4, 16, "upstreams.a.balance"),
    ]


@pytest.mark.parametrize("pattern", [r"^/\\u0041", "(?u)x"])
@pytest.mark.parametrize(
    "route", ['{{regex: "{}", respond: {{}}}}', '{{headers: {{x: {{regex: "{}"}}}}, respond: {{}}}}']
)
def test_a_regex_that_only_text_takes(pattern: str, route: str) -> None:
    """Paths and headers are bytes: what `re` takes for text only is refused, not a traceback."""
    (problem,) = refused(f"routes: [{route.format(pattern)}]\n")
    assert "routes[0]" in problem


def test_all_problems_of_the_algorithms_at_once() -> None:
    text = "upstreams: {a: {balance: 'no.a:A', backends: ['a:1']}, b: {balance: 'no.b:B', backends: ['b:1']}}\n"
    assert len(refused(f"{text}routes: [{{upstream: a}}, {{path: /b, upstream: b}}]\n")) == 2


def test_a_key_that_the_algorithm_does_not_need_is_no_error() -> None:
    plan_of(balance("{algorithm: round_robin, key: 'header:x-user'}"))
