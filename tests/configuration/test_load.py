"""Loading: the defaults, the files themselves, the warnings, and that only ConfigError is ever raised."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.configuration import load as load_module
from proxy.configuration.load import load, load_text
from proxy.configuration.sections.backends import BackendSection
from proxy.configuration.sections.limits import LimitsSection
from proxy.configuration.sections.match import HeaderMatch
from proxy.configuration.sections.pool import PoolSection
from proxy.configuration.sections.timeouts import TimeoutsSection
from proxy.configuration.values import Address
from proxy.errors import ConfigError

MINIMAL = """\
listeners: [{bind: "127.0.0.1:8080"}]
upstreams: {app: {backends: [127.0.0.1:9001]}}
routes: [{upstream: app}]
"""


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path)
    (problem,) = caught.value.problems
    return str(problem)


def test_defaults() -> None:
    loaded = load_text(MINIMAL)
    config = loaded.config
    assert loaded.warnings == ()
    assert (config.workers, config.admin, config.trusted_proxies, config.cache) == (1, None, (), None)
    assert (config.via, config.forwarded) == ("qantara", "x-forwarded")
    assert config.access_log is not None
    log = {"path": "-", "format": "json", "fields": (), "buffer": 64 << 10, "flush": 1.0}
    assert config.access_log.model_dump() == log
    assert config.listeners[0].backlog == 4096
    assert config.timeouts.model_dump() == {
        "head": 10.0,
        "body_idle": 30.0,
        "keepalive": 75.0,
        "connect": 3.0,
        "response_head": 30.0,
        "response_idle": 300.0,
        "send_idle": 60.0,
        "request": 3600.0,
        "tunnel_idle": 3600.0,
        "half_close": 1.0,
        "accept_grace": 5.0,
        "drain": 30.0,
    }
    assert config.limits.model_dump() == {
        "head_size": 32 << 10,
        "target_size": 8 << 10,
        "header_count": 100,
        "body_size": 16 << 20,
        "connections": 32768,
        "connections_per_client": 16384,
        "requests_per_connection": 1000,
    }


def test_defaults_of_an_upstream() -> None:
    upstream = load_text(MINIMAL).config.upstreams["app"]
    assert (upstream.balance.algorithm, upstream.balance.key, upstream.balance.params) == (
        "round_robin",
        (),
        {},
    )
    assert upstream.backends == (BackendSection(address=Address("tcp", "127.0.0.1", 9001), weight=1, region=None),)
    assert upstream.pool == PoolSection(min=0, max=1024, idle="55s", lifetime="1h", pending=1024)  # type: ignore[arg-type]
    assert set(upstream.timeouts.model_dump().values()) == {None}
    assert upstream.health is None


def test_defaults_of_a_route() -> None:
    (route,) = load_text(MINIMAL).config.routes
    assert (route.name, route.host, route.path, route.exact, route.regex) == (None, "*", "/", None, None)
    assert (route.methods, route.headers, route.upstream) == (None, {}, "app")
    assert (route.redirect, route.respond, route.strip_prefix, route.replace_prefix) == (None,) * 4
    for edits in (route.request_headers, route.response_headers):
        assert (edits.set, edits.append, edits.remove) == ({}, {}, ())
    assert (route.upgrades, route.forward_path, route.cache) == (("websocket",), "canonical", False)
    assert {*route.timeouts.model_dump().values(), *route.limits.model_dump().values()} == {None}


def test_values_are_canonical() -> None:
    config = load_text("""\
listeners: [{bind: ":0"}, {bind: "[0:0::1]:80"}, {bind: "unix:/run/q.sock"}]
trusted_proxies: [10.1.2.3/8, fd00::1]
upstreams:
  app.v2:
    balance: {algorithm: "my.module:Mine", key: "header:x-user", depth: [1, 2]}
    backends: [App-1:80, {address: "unix:/a b", weight: 0}]
    pool: {idle: 1.5s}
routes:
- host: "*.Example.COM"
  exact: /a
  methods: [get]
  headers: {X-a: "1", x-b: {present: false}}
  upstream: app.v2
- {regex: "^/x", redirect: {to: "/{query}"}}
""").config
    assert [str(listener.bind) for listener in config.listeners] == [":0", "[::1]:80", "unix:/run/q.sock"]
    assert config.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("fd00::1/128"))
    upstream = config.upstreams["app.v2"]
    assert (upstream.balance.algorithm, upstream.balance.params) == ("my.module:Mine", {"depth": [1, 2]})
    assert [str(backend.address) for backend in upstream.backends] == ["app-1:80", "unix:/a b"]
    assert upstream.pool.idle == 1.5
    first, second = config.routes
    assert (first.host, first.path, first.methods) == ("*.example.com", None, ("GET",))
    assert first.headers == {"X-a": HeaderMatch(exact="1"), "x-b": HeaderMatch(present=False)}
    assert second.redirect is not None
    assert (second.path, second.redirect.status) == (None, 308)


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("2s", 2.0), ("5m", 300.0), ("1h", 3600.0), ("0.5s", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert TimeoutsSection.model_validate({"head": text}).head == seconds


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("1MiB", 1 << 20), ("1GiB", 1 << 30), ("7B", 7), (512, 512)]
)
def test_sizes(text: str | int, size: int) -> None:
    assert LimitsSection.model_validate({"body_size": text}).body_size == size


def test_aliases_share_a_value() -> None:
    config = load_text(MINIMAL.replace("[127.0.0.1:9001]}", "&b [127.0.0.1:9001]}, two: {backends: *b}")).config
    assert config.upstreams["two"].backends == config.upstreams["app"].backends


def test_a_place_behind_an_alias_is_that_of_the_anchor() -> None:
    text = MINIMAL.replace("[127.0.0.1:9001]}", "&b [x]}, two: {backends: *b}")
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert [(p.line, p.column, p.key) for p in caught.value.problems] == [
        (2, 33, "upstreams.app.backends[0]"),
        (2, 33, "upstreams.two.backends[0]"),
    ]


def test_a_thousand_routes() -> None:
    routes = "".join(f"- {{host: h{n}.example, path: /p{n}, upstream: app}}\n" for n in range(1000))
    assert len(load_text(MINIMAL.replace("[{upstream: app}]", "\n" + routes)).config.routes) == 1000


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    assert refusal(file) == f"{file}: there is no such file"
    assert refusal(tmp_path) == f"{tmp_path}: is a directory; give the path of a YAML file"
    assert refusal(file / "x") == f"{file / 'x'}: there is no such file"
    file.write_bytes(b"a: b\nc: \xff")
    assert refusal(file) == f"{file}:2:4: byte 0xff is not UTF-8; save the file as UTF-8"
    assert refusal(file / "x") == f"{file / 'x'}: cannot be read: Not a directory"
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").startswith(f"{tmp_path / 'pipe'}: is not a regular file")
    file.write_text("\ufeff" + MINIMAL, encoding="utf-8")
    assert load(file).config == load_text(MINIMAL).config
    assert load(str(file)).config == load_text(MINIMAL).config


def test_a_name_that_no_file_can_have() -> None:
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        load("a\0b")


def test_a_file_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "FILE_SIZE_MAX", 1 << 20)
    file = tmp_path / "c.yaml"
    file.write_bytes(b"#" * ((1 << 20) + 1))
    assert refusal(file) == f"{file}: the file is larger than 1 MiB"
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        load_text("#" * ((1 << 20) + 1))


ANY_VALUE = st.recursive(
    st.sampled_from(
        [
            "",
            "~",
            "0",
            "1",
            "-1",
            "1.5",
            "true",
            "x",
            "/",
            "/a",
            "1s",
            "1KiB",
            "a:1",
            "app",
            "'*'",
            "'{'",
            "'['",
        ]
    )
    | st.text(max_size=5).map(repr),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(
                "bind backends address algorithm key pool min max app x path exact regex host methods "
                "headers set append upstream redirect to from respond status body strip_prefix "
                "replace_prefix timeouts head present name limits balance upgrades request_headers".split()
            ),
            inner,
            max_size=4,
        ).map(lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}")
    ),
    max_leaves=12,
)
SECTIONS = "listeners upstreams routes timeouts limits workers via shards cache access_log trusted_proxies".split()


def only_config_errors(text: str) -> None:
    try:
        load_text(text)
    except ConfigError as error:
        assert error.problems
        assert all(problem.message and "\n" not in problem.key for problem in error.problems)
        assert "Input should" not in str(error)


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(st.text(max_size=60) | st.text(alphabet=" \n:-[]{}'\"#&*!|>%@,?a0~<\\", max_size=60))
def test_any_text_loads_or_is_refused(text: str) -> None:
    only_config_errors(text)


@QUICK
@given(st.dictionaries(st.sampled_from(SECTIONS), ANY_VALUE, max_size=5))
def test_any_yaml_loads_or_is_refused(sections: dict[str, str]) -> None:
    only_config_errors("".join(f"{key}: {value}\n" for key, value in sections.items()))


@QUICK
@given(
    ANY_VALUE,
    st.sampled_from(["app: {backends: [a:1], %s: %s}", "%s: %s"]),
    st.sampled_from(["pool", "balance"]),
)
def test_any_upstream_loads_or_is_refused(value: str, shape: str, key: str) -> None:
    only_config_errors(MINIMAL.replace("app: {backends: [127.0.0.1:9001]}", shape % (key, value)))


@QUICK
@given(st.dictionaries(st.sampled_from("host path exact regex headers redirect respond limits".split()), ANY_VALUE))
def test_any_route_loads_or_is_refused(keys: dict[str, str]) -> None:
    route = ", ".join(["upstream: app", *(f"{key}: {value}" for key, value in keys.items())])
    only_config_errors(MINIMAL.replace("upstream: app", route))
