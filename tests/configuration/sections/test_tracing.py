"""The section `tracing`: what is wrong with it, in which words, and what of it is never shown."""

from __future__ import annotations

import pytest

from proxy.configuration.diff import diff
from proxy.configuration.load import load_text
from proxy.configuration.render import show
from proxy.errors import ConfigError
from proxy.plan import TraceSpec
from tests.support.plans import linked

REST = "listeners: [{bind: '127.0.0.1:0'}]\nupstreams: {app: {backends: ['a:1']}}\n"
ROUTES = "routes: [{upstream: app}]\n"


def problems(tracing: str, routes: str = ROUTES) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        linked(load_text(f"{REST}tracing: {tracing}\n{routes}").config)
    return [f"{each.key}: {each.message}" for each in refused.value.problems]


def test_all_has_a_default() -> None:
    plan = linked(load_text(f"{REST}tracing: {{}}\n{ROUTES}").config)
    assert plan.tracing == TraceSpec("http://127.0.0.1:4318/v1/traces")
    assert linked(load_text(REST + ROUTES).config).tracing is None


WANTED = "tracing.endpoint: must be the URL that traces are sent to, such as http://127.0.0.1:4318/v1/traces"


@pytest.mark.parametrize(
    ("tracing", "found"),
    [
        ("{endpoint: 'collector:4318'}", f'{WANTED}; not "collector:4318"'),
        ("{endpoint: 'http://collector:4318'}", f"{WANTED}: the path is missing"),
        ("{endpoint: 'http://collector:x/v1/traces'}", f'{WANTED}; not "http://collector:x/v1/traces"'),
        (
            "{endpoint: 'http://me:hush@collector/v1/traces'}",
            "tracing.endpoint: must not hold a user or a password; write headers: {authorization: ...}",
        ),
        ("{endpont: x}", "tracing.endpont: is no known key (did you mean endpoint?)"),
        ("{believe: all}", 'tracing.believe: must be nobody, trusted or everybody, not "all"'),
        ("{batch: 0}", "tracing.batch: must be at least 1, not the number 0"),
        ("{service: ''}", "tracing.service: must not be empty"),
    ],
)
def test_what_is_wrong_is_said(tracing: str, found: str) -> None:
    assert problems(tracing) == [found]


def test_a_route_may_not_write_a_second_context() -> None:
    routes = "routes: [{upstream: app, request_headers: {set: {Traceparent: x}, append: {tracestate: a=1}}}]\n"
    assert problems("{}", routes) == [
        "routes[0].request_headers.set.Traceparent: is written by tracing; remove it here",
        "routes[0].request_headers.append.tracestate: is written by tracing; remove it here",
    ]
    load_text(f"{REST}{routes}")  # without tracing it is the route's


def test_without_the_packages_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.configuration.sections.tracing.PACKAGES", ("no_such_package.sdk",))
    assert problems("{}") == ["tracing: needs the packages of OpenTelemetry: pip install qantara[otel]"]


def test_the_values_of_headers_are_not_shown() -> None:
    one, two = (
        load_text(f"{REST}tracing: {{headers: {{x-api-key: {key}}}}}\n{ROUTES}").config for key in ("hush", "hush2")
    )
    (change,) = diff(one, two).changes
    assert (change.what, change.before, change.after) == ("tracing.headers.x-api-key", "(hidden)", "(hidden)")
    assert show(one.tracing) == "{headers: {x-api-key: (hidden)}}"
    (added,) = diff(load_text(REST + ROUTES).config, one).changes
    assert added.after == "{headers: {x-api-key: (hidden)}}"
    assert added.effect == "holds for requests that end after the reload; what waits is sent as before"
