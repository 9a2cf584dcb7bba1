"""How backends are picked, compiled: the layers that are asked for, the key, and what is tried out before it serves."""

from __future__ import annotations

from socket import gethostname
from typing import Any

import pytest

from proxy.balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec
from proxy.balancing.round_robin import RoundRobin
from proxy.balancing.wrappers.priorities import Priorities
from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text
from proxy.control.discovery.base import backend
from proxy.errors import ConfigError
from proxy.features.sticky.balancer import StickySpec
from proxy.features.sticky.stages import StickyKey
from proxy.plan import Plan
from proxy.stages.request_key import RequestKey
from proxy.upstream.picker import Selector
from tests.balancing.algorithms import LastByKey
from tests.support.exchanges import pick_of
from tests.support.plans import linked

HEAD = "listeners: [{bind: ':0'}]\n"


def plan_of(upstream: str, more: str = "", route: str = "") -> Plan:
    text = f"""
listeners: [{{bind: '127.0.0.1:0'}}]
upstreams: {{app: {{backends: [{{address: 'a:1', priority: 0}}, 'b:1'], {upstream}}}}}
routes: [{{upstream: app, {route}}}]
{more}
"""
    return linked(load_text(text, "test.yaml").config)


def spec_of(upstream: str, more: str = "") -> BalanceSpec:
    spec: BalanceSpec = plan_of(upstream, more).specs["app"].balance
    return spec


def key_of(upstream: str, route: str = "") -> Any:
    return pick_of(plan_of(upstream, route=route)).key


def test_what_is_not_asked_for_is_not_there() -> None:
    assert spec_of("balance: least_time") == BalanceSpec("least_time")
    assert key_of("balance: least_time") is None


@pytest.mark.parametrize(
    ("balance", "slow"),
    [
        ("{algorithm: 'tests.balancing.algorithms:Broken'}", 0.01),
        ("{algorithm: 'tests.balancing.algorithms:Broken', slow: 3ms}", 0.003),
        ("{algorithm: 'tests.balancing.algorithms:Broken', slow: 0}", 0.0),
        ("{algorithm: random, fallback: 'tests.balancing.algorithms:Broken', slow: 3ms}", 0.0),
    ],
)
def test_only_algorithms_of_ones_own_are_watched(balance: str, slow: float) -> None:
    assert spec_of(f"balance: {balance}").slow == slow


@pytest.mark.parametrize(
    ("upstream", "top", "layers"),
    [
        ("backends: ['a:1']", "", (None, None, None)),
        ("backends: [{address: 'a:1', priority: 1}], overprovisioning: 2", "", (2.0, None, None)),
        ("discover: {file: x}", "", (1.4, None, None)),  # its backends may have priorities
        ("backends: ['a:1'], zones: {}", "zone: a", (None, ZoneSpec("a", (), 6), None)),
        ("backends: ['a:1'], zones: {}", "", (None, None, None)),  # nobody knows where this proxy is
        (
            "backends: ['a:1'], zones: {proxies: {b: 2, a: 1}, min_backends: 3}",
            "zone: a",
            (None, ZoneSpec("a", (("a", 1), ("b", 2)), 3), None),
        ),
        ("backends: ['a:1'], subset: 5", "identity: p1", (None, None, SubsetSpec(5, "p1"))),
        ("backends: ['a:1'], subset: 5", "", (None, None, SubsetSpec(5, gethostname()))),
    ],
)
def test_each_layer_is_there_if_it_is_asked_for(upstream: str, top: str, layers: tuple[Any, ...]) -> None:
    config = load_text(f"{HEAD}{top}\nupstreams: {{app: {{{upstream}}}}}\nroutes: [{{upstream: app}}]").config
    spec = compile_plan(config).groups["app"].balance
    assert (spec.overprovisioning, spec.zone, spec.subset, spec.sticky) == (*layers, None)


def test_priorities_are_those_of_the_members_and_of_the_file() -> None:
    """A backend of another priority may have come while the proxy ran; one that has left may come back."""
    text = f"{HEAD}upstreams: {{app: {{backends: ['a:1', %s]}}}}\nroutes: [{{upstream: app}}]"
    flat, levels = (load_text(text % second).config for second in ("'b:1'", "{address: 'b:1', priority: 1}"))
    first, later = backend("a:1"), backend("c:1", priority=1)
    for config, members, found in (
        (flat, (first,), type(None)),
        (flat, (first, later), Priorities),
        (levels, (first,), Priorities),
    ):
        plan = linked(config, members={"app": members})
        balance = plan.specs["app"].balance
        assert balance.overprovisioning == (None if found is type(None) else 1.4)
        assert isinstance(plan.balancers["app"][0], Priorities) is (found is Priorities)
        assert plan.specs["app"].backends == members


def test_an_algorithm_is_not_made_for_each_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """To know what it needs: one of a user's own may do anything when it is made."""
    made: list[int] = []

    class Counted(LastByKey):
        def __init__(self) -> None:
            super().__init__()
            made.append(1)

    monkeypatch.setattr("tests.balancing.algorithms.LastByKey", Counted)
    counts = []
    for routes in (1, 5):
        listed = ", ".join(f"{{path: /{n}, upstream: app}}" for n in range(routes))
        balance = "{algorithm: 'tests.balancing.algorithms:LastByKey', key: 'header:x-user'}"
        text = f"{HEAD}upstreams: {{app: {{backends: ['a:1'], balance: {balance}}}}}\nroutes: [{listed}]"
        made.clear()
        linked(load_text(text).config)
        counts.append(len(made))
    assert counts[0] == counts[1]


def test_stickiness_is_part_of_how_it_is_picked() -> None:
    sticky = spec_of("sticky: {cookie: {secret: 0123456789abcdef}, draining: false}").sticky
    assert sticky == StickySpec("app", (b"0123456789abcdef",), False)


def test_the_key_is_made_of_what_is_named() -> None:
    hashed = "balance: {algorithm: maglev, key: [client_ip, 'header:x-user']}"
    plain = key_of(hashed)
    assert type(plain) is RequestKey
    assert plain.parts[0] is None
    assert len(plain.parts) == 2
    sticky = key_of(f"{hashed}, sticky: {{cookie: {{}}}}")
    assert isinstance(sticky, StickyKey)
    assert sticky.key is not None
    assert len(sticky.key.parts) == 2
    assert key_of("sticky: {cookie: {}}").key is None


@pytest.mark.parametrize(
    ("upstream", "said"),
    [
        ("balance: maglev", "the algorithm needs a key"),
        ("balance: {algorithm: maglev, table: 4}", "table"),
        ("balance: {algorithm: 'no.such.module:It'}", "cannot be used"),
    ],
)
def test_an_algorithm_is_tried_out(upstream: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_of(upstream)


def test_a_fallback_that_needs_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="needs a key itself"):
        plan_of("balance: {algorithm: round_robin, fallback: 'tests.balancing.algorithms:LastByKey'}")


# --- subsets ----------------------------------------------------------------------------------------------------------


def routed(routes: str, backends: str = "{address: 'a:1', labels: {version: canary}}, 'b:1'") -> Plan:
    text = f"{HEAD}upstreams: {{app: {{slow_start: null, backends: [{backends}]}}}}\nroutes: [{routes}]\n"
    plan = linked(load_text(text).config)
    plan.settle_groups()
    return plan


def test_routes_with_the_same_labels_share_a_subset() -> None:
    plan = routed(
        "{path: /a, upstream: app, subset: {version: canary}}, {path: /b, upstream: app, subset: {version: canary}}, "
        "{path: /c, upstream: app, subset: {version: canary}, subset_fallback: none}, {upstream: app}"
    )
    group = plan.groups["app"]
    canary = Selector((("version", "canary"),))
    assert set(group.subsets) == {canary, canary._replace(any_else=False)}
    assert set(plan.subsets["app"]) == set(group.subsets)
    assert [backend.name for backend in group.subset(canary).usable] == ["a:1"]
    assert group.subset(canary).balancer is not group.balancer
    assert isinstance(group.subset(canary).balancer, RoundRobin)


def test_without_labels_a_route_uses_the_whole_group() -> None:
    plan = routed("{upstream: app}")
    assert plan.subsets == {}
    assert plan.groups["app"].subsets == {}


def test_layers_are_made_for_each_subset() -> None:
    plan = routed(
        "{upstream: app, subset: {version: canary}}",
        "{address: 'a:1', labels: {version: canary}}, {address: 'b:1', priority: 1, labels: {version: canary}}",
    )
    picker = plan.groups["app"].subset(Selector((("version", "canary"),)))
    assert isinstance(picker.balancer, Priorities)
    (first, _) = plan.groups["app"].members.all
    assert picker.balancer.pick(None) is first
