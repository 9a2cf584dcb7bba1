"""How backends are picked, compiled: the layers that are asked for, the key, and what is tried out before it serves."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.balancing.compose import BalanceSpec
from proxy.balancing.sticky import StickySpec
from proxy.control.compile import compile_plan
from proxy.control.load import load_text
from proxy.errors import ConfigError
from proxy.http1.codec import RequestHead
from proxy.plan import Plan
from proxy.request_key import RequestKey
from proxy.sticking import StickyKey


def plan_of(upstream: str, more: str = "", route: str = "") -> Plan:
    text = f"""
listeners: [{{bind: '127.0.0.1:0'}}]
upstreams: {{app: {{backends: [{{address: 'a:1', priority: 0}}, 'b:1'], {upstream}}}}}
routes: [{{upstream: app, {route}}}]
{more}
"""
    return compile_plan(load_text(text, "test.yaml").config)


def spec_of(upstream: str, more: str = "") -> BalanceSpec:
    spec: BalanceSpec = plan_of(upstream, more).specs["app"].balance
    return spec


def key_of(upstream: str, route: str = "") -> Any:
    head = RequestHead()
    head.parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 0)
    found: Any = plan_of(upstream, route=route).routes.find(head)
    return found.relay.pick.key


def test_what_is_not_asked_for_is_not_there() -> None:
    assert spec_of("balance: least_time") == BalanceSpec("least_time")
    assert key_of("balance: least_time") is None


def test_each_layer_is_there_if_it_is_asked_for() -> None:
    zoned = spec_of("zones: {proxies: {a: 1}}", "zone: a")
    assert zoned.zone is not None
    assert (zoned.zone.zone, zoned.zone.proxies, zoned.zone.min_backends) == ("a", (("a", 1),), 6)
    assert spec_of("zones: {}").zone is None  # nobody knows where this proxy is
    assert spec_of("subset: 3", "identity: me").subset == (3, "me")
    priorities = "backends: ['a:1', {address: 'b:1', priority: 1}]"
    text = f"listeners: [{{bind: ':1'}}]\nupstreams: {{app: {{{priorities}}}}}\nroutes: [{{upstream: app}}]"
    assert compile_plan(load_text(text).config).specs["app"].balance.overprovisioning == 1.4
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
