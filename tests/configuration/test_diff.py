"""What a reload would change: each kind of change, in words, with its effect."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.configuration.diff import Diff, diff, diff_against
from proxy.configuration.effects import DEFAULT, DRAINED, RESTART, TAKES, Change, effect_of, effects
from proxy.configuration.load import load_text
from proxy.configuration.schema import Config
from proxy.errors import ConfigError

LISTEN = "listeners: [{bind: ':8080'}]\n"
APP = "upstreams: {app: {backends: [a:80, b:80]}}\n"
ROUTE = "routes: [{upstream: app}]\n"
ONE, TWO = "127.0.0.1:9", "127.0.0.1:8"
WORKERS = "workers are started, or drained and ended, until there are so many"
STAY = "its connections and counters stay"


def config(text: str) -> Config:
    for key, default in (("listeners:", LISTEN), ("upstreams:", APP), ("routes:", ROUTE)):
        if key not in text:
            text += default
    return load_text(text).config


def changes(old: str, new: str) -> list[Change]:
    found = diff(config(old), config(new))
    assert bool(found) is bool(found.changes)
    back = diff(config(new), config(old)).changes
    assert len(back) == len(found.changes)
    assert not diff(config(old), config(old)).changes
    return list(found.changes)


def app(keys: str) -> str:
    return f"upstreams: {{app: {{{keys}}}}}\n"


def test_nothing() -> None:
    assert changes("", "# another comment\n") == []
    assert diff(config(""), config("")).summary == ("nothing would change",)


# --- listeners ---------------------------------------------------------------------------------------------


def test_listeners() -> None:
    assert changes(
        "listeners: [{bind: ':8080'}, {bind: ':8081'}]\n",
        "listeners: [{bind: ':8082'}, {bind: ':8080', backlog: 7}]\n",
    ) == [
        Change("removed", "listener :8081", effect="is closed; connections on it are drained"),
        Change("added", "listener :8082", effect="is opened"),
        Change("changed", "listener :8080 backlog", "4096", "7", f"{RESTART}: the socket is open already"),
    ]


# --- upstreams ---------------------------------------------------------------------------------------------


def test_backends() -> None:
    assert changes(
        app("backends: [a:80, {address: b:80, weight: 2}, c:80]"),
        app("backends: [{address: a:80, weight: 0}, {address: b:80, weight: 3, region: eu}, d:80, "
            "{address: e:80, weight: 0}]"),
    ) == [
        Change("removed", "backend app c:80", "weight 1", "", DRAINED),
        Change("changed", "backend app a:80 weight", "1", "0", "gets no new requests; those in flight finish"),
        Change("changed", "backend app b:80 weight", "2", "3", STAY),
        Change("changed", "backend app b:80 region", "null", "eu", STAY),
        Change("added", "backend app d:80", "", "weight 1", TAKES),
        Change("added", "backend app e:80", "", "weight 0", "has a weight of 0: waits"),
    ]  # fmt: skip


def test_what_comes_and_goes_is_shown_whole() -> None:
    whole = "{address: b:80, weight: 2, region: eu, zone: z, priority: 1, labels: {version: canary, on: 'yes'}}"
    shown = 'weight 2, region eu, zone z, priority 1, labels {version: canary, on: "yes"}'
    few, more = app("backends: [a:80]"), app(f"backends: [a:80, {whole}]")
    assert changes(few, more) == [Change("added", "backend app b:80", "", shown, TAKES)]
    assert changes(more, few) == [Change("removed", "backend app b:80", shown, "", DRAINED)]
    assert changes(app("backends: [a:80, {address: b:80, labels: {v: '1'}}]"), app("backends: [a:80, b:80]")) == [
        Change("changed", "backend app b:80 labels.v", '"1"', "null", STAY),
    ]


def test_backends_in_another_order() -> None:
    (moved,) = changes(app("backends: [a:80, b:80, c:80]"), app("backends: [c:80, a:80, b:80]"))
    assert moved[:4] == ("moved", "backends of app", "a:80, b:80, c:80", "c:80, a:80, b:80")


def test_upstreams_come_and_go_with_their_backends() -> None:
    assert changes(APP, "upstreams: {app: {backends: [a:80, b:80]}, two: {pool: {idle: 90s}, backends: [c:80]}}\n") == [
        Change("added", "upstream two", "", "{pool: {idle: 90s}}", "begins with no history"),
        Change("added", "backend two c:80", "", "weight 1", TAKES),
    ]
    assert changes("upstreams: {app: {backends: [a:80, b:80]}, two: {backends: [c:80]}}\n", APP) == [
        Change("removed", "upstream two", "{}", "", "its backends are drained"),
        Change("removed", "backend two c:80", "weight 1", "", DRAINED),
    ]


def test_settings_of_an_upstream_are_in_the_notation_of_the_file() -> None:
    old = app("backends: [a:80]")
    new = app(
        "backends: [a:80], pool: {idle: 90s}, retry: {buffer: 1MiB, per_try: 2s}, panic: 12.5%, "
        "balance: {algorithm: 'proxy.balancing.round_robin:RoundRobin'}, slow_start: null, timeouts: {connect: 250ms}"
    )
    found = {change.what: change[2:] for change in changes(old, new)}
    pools = "pools keep their connections"
    assert found["upstreams.app.pool.idle"] == ("55s", "90s", pools)
    assert found["upstreams.app.retry.buffer"][:2] == ("64KiB", "1MiB")
    assert found["upstreams.app.retry.per_try"][:2] == ("null", "2s")
    assert found["upstreams.app.panic"][:2] == ("50%", "12.5%")
    assert found["upstreams.app.timeouts.connect"] == ("null", "250ms", "holds for new connections to backends")
    assert found["upstreams.app.slow_start"][1] == "null"
    assert found["upstreams.app.balance.algorithm"][2] == (
        "picks from the next request on; what was learned of the backends stays"
    )
    assert len(found) == 7


def test_parameters_of_an_algorithm() -> None:
    own = "balance: {algorithm: 'm:C', %s}, backends: [a:80]"
    (changed,) = changes(app(own % "near: 1"), app(own % "near: 2"))
    assert changed[:4] == ("changed", "upstreams.app.balance.near", "1", "2")


def test_discovery() -> None:
    plain, dns = app("backends: [a:80]"), app("backends: [a:80], discover: {dns: 'x:80', keep: 90s}")
    (added,) = changes(plain, dns)
    assert added[:4] == ("changed", "upstreams.app.discover", "null", "{dns: x:80, keep: 90s}")
    (removed,) = changes(dns, plain)
    assert removed.effect == "the backends that it found are drained"
    (changed,) = changes(dns, app("backends: [a:80], discover: {dns: 'y:81', keep: 90s}"))
    assert changed[1:] == (
        "upstreams.app.discover.dns", "x:80", "y:81", "the source is asked anew; its backends stay until it answers"
    )  # fmt: skip


# --- routes ------------------------------------------------------------------------------------------------


def routes(*entries: str) -> str:
    return f"routes: [{', '.join(f'{{{entry}}}' for entry in entries)}]\n"


REST = "upstream: app"


def test_a_route_is_known_by_its_name() -> None:
    assert changes(
        routes("name: api, path: /api, upstream: app", REST),
        routes("name: api, path: /v2, upstream: app, timeouts: {request: 90s}", REST),
    ) == [
        Change("changed", "route api path", "/api", "/v2", "other requests fit it"),
        Change("changed", "route api timeouts.request", "null", "90s", DEFAULT),
    ]


def test_a_route_without_a_name_is_known_by_its_conditions() -> None:
    one = "host: x.org, path: /a, methods: [GET], upstream: app"
    (changed,) = changes(routes(one, REST), routes(f"{one}, cache: true", REST))
    assert changed[:4] == ("changed", "route x.org /a GET cache", "false", "true")
    (named,) = changes(routes(one, REST), routes(f"{one}, name: new", REST))
    assert named[:4] == ("changed", "route new name", "null", "new")


def test_routes_come_and_go() -> None:
    assert changes(
        routes(REST, "exact: /a, respond: {status: 204}"), routes(REST, "regex: '^/b', redirect: {to: /}")
    ) == [
        Change("removed", "route * =/a", "answers with 204", "", "requests go to the next that fits"),
        Change("added", "route * ~^/b", "", "redirect to /", "takes requests that fit it best"),
    ]


def test_only_what_had_to_be_moved_is_moved() -> None:
    names = [f"name: n{n}, regex: '^/{n}', upstream: app" for n in range(5)]
    (moved,) = changes(routes(*names), routes(names[4], *names[:4]))
    effect = "the first that fits wins among equally specific ones"
    assert moved == Change("moved", "route n4", "position 5", "position 1", effect)


def test_a_move_among_routes_that_are_not_equally_specific_has_no_effect() -> None:
    one, two = "name: one, path: /a, upstream: app", "name: two, path: /b, upstream: app"
    (moved,) = changes(routes(one, two), routes(two, one))
    assert moved.effect == "no effect: the most specific route wins, and none is as specific as this"


def test_a_new_route_before_the_others_moves_none() -> None:
    (added,) = changes(
        routes("path: /a, upstream: app", REST), routes("path: /n, upstream: app", "path: /a, upstream: app", REST)
    )
    assert added.action == "added"


def test_equal_names_and_equal_conditions_are_told_apart_by_their_order() -> None:
    same = "name: x, path: /a, upstream: app"
    (changed,) = changes(routes(same, same, REST), routes(same, f"{same}, cache: true", REST))
    assert changed.what == "route x cache"


def test_a_name_that_is_odd_is_quoted() -> None:
    (changed,) = changes(
        routes('name: "a\\n[b]", upstream: app'), routes('name: "a\\n[b]", upstream: app, cache: true')
    )
    assert changed.what == 'route "a\\n[b]" cache'


def test_values_of_secret_headers_are_hidden() -> None:
    header = "upstream: app, request_headers: {set: {Authorization: %s, x-a: %s}}"
    found = changes(routes(header % ("abc", "one")), routes(header % ("xyz", "two")))
    assert [(change.what, change.before, change.after) for change in found] == [
        ("route * / request_headers.set.Authorization", "(hidden)", "(hidden)"),
        ("route * / request_headers.set.x-a", "one", "two"),
    ]
    (added,) = changes(routes(REST), routes("upstream: app, request_headers: {set: {Authorization: abc}}"))
    assert added.after == "(hidden)"


# --- the rest ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "what", "was", "now", "effect"),
    [
        ("", "workers: auto\n", "workers", "1", "auto", WORKERS),
        ("", "admin: {bind: '127.0.0.1:9'}\n", "admin", "null", '{bind: 127.0.0.1:9}', RESTART),
        (f"admin: {{bind: '{ONE}'}}\n", f"admin: {{bind: '{TWO}'}}\n", "admin.bind", ONE, TWO, RESTART),
        ("", "watch: true\n", "watch", "false", "true", "the file is watched from then on, or no longer"),
        ("", "access_log: null\n", "access_log", "{}", "null", "the log is opened anew; no line is lost"),
        ("", "timeouts: {head: 250ms}\n", "timeouts.head", "10s", "250ms", DEFAULT),
        ("", "timeouts: {drain: 2m}\n", "timeouts.drain", "30s", "2m", "holds for the next stop"),
        ("", "limits: {body_size: 1GiB}\n", "limits.body_size", "16MiB", "1GiB", DEFAULT),
        ("", "trusted_proxies: [10.0.0.0/8]\n", "trusted_proxies", "[]", '["10.0.0.0/8"]', DEFAULT),
        ("", "via: null\n", "via", "qantara", "null", DEFAULT),
    ],
)  # fmt: skip
def test_a_setting(old: str, new: str, what: str, was: str, now: str, effect: str) -> None:
    assert changes(old, new) == [Change("changed", what, was, now, effect)]


def test_every_pattern_of_the_effects_is_reached() -> None:
    for pattern, effect in effects():
        assert effect_of(pattern.replace(".*.", ".app.").replace("*", ".x")) == effect, pattern


def test_the_summary_says_what_it_comes_to() -> None:
    found = diff(
        config(app("backends: [a:80, b:80, c:80], pool: {max: 3}") + "timeouts: {head: 1s}\n"),
        config(app("backends: [a:80, d:80], pool: {max: 4}") + "admin: {bind: '127.0.0.1:9'}\n"),
    )
    assert isinstance(found, Diff)
    assert found.summary == (
        "3 settings changed, 2 backends removed, 1 backend added",
        "2 backends are drained",
        "backends that stay keep their connections, health and counters",
        f"{RESTART}: admin",
    )


def test_against_what_runs(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(LISTEN + APP + ROUTE + "workers: 2\n")
    (changed,) = diff_against(config(""), file).changes
    assert changed.what == "workers"
    file.write_text(LISTEN + ROUTE + app("backends: [a:80], balance: 'no.such:Thing'"))
    with pytest.raises(ConfigError, match=r"c.yaml:3:\d+: upstreams.app.balance"):
        diff_against(config(""), file)
