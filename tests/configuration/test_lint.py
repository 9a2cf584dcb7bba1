"""Warnings: what is allowed but not what it seems is told with its place, and changes nothing else."""

from __future__ import annotations

import pytest

from proxy.configuration.load import load_text


def warnings_of(text: str) -> list[str]:
    return [str(warning) for warning in load_text(text, "c.yaml").warnings]


def test_all_of_them() -> None:
    assert warnings_of("""\
listeners: [{bind: ":8080"}]
workers: auto
admin: {bind: "127.0.0.1:9900"}
cache: {tiers: []}
upstreams:
  app: {backends: [a:1], health: {path: /healthz}}
  idle: {backends: [{address: a:1, weight: 0}]}
routes:
- {host: a.example, upstream: app, cache: true}
- {path: /x, methods: [POST, GET], headers: {a: b}, upstream: app}
- {path: /x, methods: [get, post], headers: {A: b}, upstream: app}
- {path: /y, respond: {}, upgrades: []}
""") == [
        "c.yaml:4:1: cache: has no effect in this version",
        "c.yaml:7:3: upstreams.idle: no route uses this upstream",
        "c.yaml:7:20: upstreams.idle.backends: every weight is 0: this upstream takes no requests",
        "c.yaml:9:36: routes[0].cache: has no effect in this version",
        "c.yaml:11:3: routes[2]: can never match: routes[1] takes the same requests",
        "c.yaml:12:27: routes[3].upgrades: has no effect: this route has no upstream",
    ]


@pytest.mark.parametrize(
    ("balance", "warned"),
    [
        ("{algorithm: random, slow: 5ms}", ["has no effect: random is no algorithm of your own"]),
        (
            "{algorithm: geographic, inner: random, slow: 5ms}",
            ["has no effect: geographic is no algorithm of your own"],
        ),
        ("{algorithm: geographic, inner: 'm:C', slow: 5ms}", []),
        ("{algorithm: geographic, inner: {algorithm: 'm:C'}, slow: 5ms}", []),
        ("{algorithm: 'm:C', slow: 5ms}", []),
        ("random", []),
    ],
)
def test_how_long_an_algorithm_may_take_is_said_of_a_built_in_one(balance: str, warned: list[str]) -> None:
    found = warnings_of(f"""
listeners: [{{bind: ":8080"}}]
upstreams: {{app: {{backends: [a:1], balance: {balance}}}}}
routes: [{{upstream: app}}]
""")
    assert [each.partition("balance.slow: ")[2] for each in found] == warned


@pytest.mark.parametrize(
    ("second", "hosts", "warned"),
    [
        ("{}", ("a.example", "a.example"), True),
        ("{name: other}", ("a.example", "a.example"), False),
        ("{path: /b}", ("a.example", "a.example"), False),
        ("{domain: a.example}", ("a.example", "a.example"), False),
        ("{}", ("a.example", "b.example"), False),
        ("{secure: true}", ("*", "*"), True),
    ],
)
def test_cookies_that_overwrite_each_other(second: str, hosts: tuple[str, str], warned: bool) -> None:
    text = f"""\
listeners: [{{bind: ":8080"}}]
upstreams:
  app: {{backends: [a:1], sticky: {{cookie: {{}}}}}}
  two: {{backends: [a:1], sticky: {{cookie: {second}}}}}
routes:
- {{host: '{hosts[0]}', path: /a, upstream: app}}
- {{host: '{hosts[1]}', path: /b, upstream: two}}
"""
    said = "upstreams.two.sticky.cookie: overwrites that of upstream app at the same host: give it another name or path"
    assert [told.partition(": ")[2] for told in warnings_of(text)] == ([said] if warned else [])


def test_a_cookie_overwrites_that_of_any_upstream_before_it() -> None:
    """Not only that of the first, which may be at another host."""
    found = warnings_of("""\
listeners: [{bind: ":8080"}]
upstreams:
  app: {backends: [a:1], sticky: {cookie: {}}}
  two: {backends: [a:1], sticky: {cookie: {}}}
  three: {backends: [a:1], sticky: {cookie: {}}}
routes:
- {host: a.example, upstream: app}
- {host: b.example, path: /a, upstream: two}
- {host: b.example, path: /b, upstream: three}
""")
    said = (
        "upstreams.three.sticky.cookie: overwrites that of upstream two at the same host: give it another name or path"
    )
    assert [told.partition(": ")[2] for told in found] == [said]


def test_a_cookie_with_a_domain_overwrites_that_of_another_host() -> None:
    found = warnings_of("""\
listeners: [{bind: ":8080"}]
upstreams:
  app: {backends: [a:1], sticky: {cookie: {domain: example.com}}}
  two: {backends: [a:1], sticky: {cookie: {domain: .Example.com}}}
  three: {backends: [a:1], sticky: {cookie: {domain: example.org}}}
routes:
- {host: a.example.com, upstream: app}
- {host: b.example.com, upstream: two}
- {host: b.example.org, upstream: three}
""")
    said = (
        "upstreams.two.sticky.cookie: overwrites that of upstream app in the same domain: give it another name or path"
    )
    assert [told.partition(": ")[2] for told in found] == [said]
