"""The rules of `discover`, each with the exact line of the report."""

from __future__ import annotations

import pytest

from proxy.configuration.load import load_text
from proxy.errors import ConfigError


def text_of(discover: str, more: str = "") -> str:
    """The value of `discover` begins in column 17 of line 4."""
    return f"listeners: [{{bind: ':0'}}]\nroutes: [{{upstream: x}}]\nupstreams:\n  x: {{discover: {discover}{more}}}\n"


def report(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "c.yaml")
    return [str(problem) for problem in caught.value.problems]


ONE_PROBLEM = {
    "{}": "4:17: upstreams.x.discover: needs one of dns, file and source",
    "{dns: null}": "4:17: upstreams.x.discover: needs one of dns, file and source",
    "{dns: 'a:80', file: /x}": "4:31: upstreams.x.discover.file: excludes dns; give one of dns, file and source",
    "{file: /x, type: a}": "4:28: upstreams.x.discover.type: belongs to dns, and there is none here; remove it",
    "{source: 'm:C', keep: 1m}": "4:33: upstreams.x.discover.keep: belongs to dns, and there is none here; remove it",
    "{dns: 'a:80', interval: 1s}": (
        "4:31: upstreams.x.discover.interval: belongs to file, and there is none here; remove it"
    ),
    "{dns: 'a:80', tpye: a}": "4:31: upstreams.x.discover.tpye: is no known key (did you mean type?)",
    "{dns: app}": (
        "4:23: upstreams.x.discover.dns: the port is missing; write app:80, or type: srv for records that have one"
    ),
    "{dns: 'app:80', type: srv}": "4:23: upstreams.x.discover.dns: SRV records have ports of their own; write app",
    "{dns: '10.0.0.1:80'}": (
        '4:23: upstreams.x.discover.dns: "10.0.0.1:80" is an address and needs no DNS; put it under backends'
    ),
    "{dns: '[::1]:80'}": (
        '4:23: upstreams.x.discover.dns: "[::1]:80" is an address and needs no DNS; put it under backends'
    ),
    "{dns: 'a b:80'}": '4:23: upstreams.x.discover.dns: "a b:80" is no name such as app.internal:9001',
    "{dns: 'http://a:80'}": (
        '4:23: upstreams.x.discover.dns: must be a name without a scheme, such as app.internal:9001, not "http://a:80"'
    ),
    "{dns: 'a:0'}": '4:23: upstreams.x.discover.dns: the port must be a number from 1 to 65535, not "0"',
    "{dns: 7}": "4:23: upstreams.x.discover.dns: must be a name such as app.internal:9001, not the number 7",
    "{dns: 'a:80', type: mx}": ('4:37: upstreams.x.discover.type: must be a, aaaa, ip or srv, not "mx"'),
    "{dns: 'a:80', resolvers: [dns.internal]}": (
        "4:43: upstreams.x.discover.resolvers[0]: must be the IP address of a DNS server, such as 10.0.0.2 or "
        '10.0.0.2:53, not "dns.internal"'
    ),
    "{dns: 'a:80', search: ['a b']}": (
        '4:40: upstreams.x.discover.search[0]: "a b" is no domain such as svc.cluster.local'
    ),
    "{dns: 'a:80', ttl_min: 2m}": (
        "4:40: upstreams.x.discover.ttl_min: ttl_min is longer than ttl_max (60s, the default)"
    ),
    "{dns: 'a:80', ttl_max: 10ms}": "4:40: upstreams.x.discover.ttl_max: ttl_min is longer than ttl_max (10ms)",
    "{dns: 'a:80', keep: 5}": (
        "4:37: upstreams.x.discover.keep: a duration needs a unit; write 5s for seconds or 5ms for milliseconds"
    ),
    "{source: nothing}": '4:26: upstreams.x.discover.source: must be "module:Class", not "nothing"',
    "{file: ''}": "4:24: upstreams.x.discover.file: must not be empty",
    "dns": '4:17: upstreams.x.discover: must be a mapping of keys to values, not "dns"',
}


@pytest.mark.parametrize(("discover", "line"), ONE_PROBLEM.items(), ids=list(ONE_PROBLEM))
def test_one_problem(discover: str, line: str) -> None:
    assert report(text_of(discover)) == [f"c.yaml:{line}"]


@pytest.mark.parametrize(
    "discover",
    [
        "{dns: 'App.Internal:80'}",
        "{dns: 'app.:80', search: [prod.internal.], resolvers: [10.0.0.2, '::1', '[::1]:5353', '127.0.0.1:5353']}",
        "{dns: _http._tcp.app.internal, type: srv, keep: 1h}",
        "{file: backends.yaml, interval: 500ms}",
        "{source: 'my.sources:Consul', url: 'http://127.0.0.1', nested: {a: [1]}}",
    ],
)
def test_what_is_right_needs_no_backends(discover: str) -> None:
    loaded = load_text(text_of(discover))
    assert loaded.warnings == ()
    assert loaded.config.upstreams["x"].backends == ()


def test_values_are_in_one_form() -> None:
    text = text_of("{dns: 'App.Internal:80', resolvers: ['::1', 10.0.0.2], search: [Prod.Internal.]}")
    discover = load_text(text).config.upstreams["x"].discover
    assert discover is not None
    assert str(discover.dns) == "app.internal:80"
    assert [str(server) for server in discover.resolvers] == ["[::1]:53", "10.0.0.2:53"]
    assert discover.search == ("prod.internal",)
    assert (discover.ttl_min, discover.ttl_max, discover.keep, discover.timeout) == (1, 60, 300, 5)


def test_a_source_of_ones_own_is_given_the_further_keys() -> None:
    discover = load_text(text_of("{source: 'm:C', url: u, deep: {a: 1}}")).config.upstreams["x"].discover
    assert discover is not None
    assert discover.params == {"url": "u", "deep": {"a": 1}}


def test_backends_and_a_source_go_together() -> None:
    config = load_text(text_of("{dns: 'a:80'}", ", backends: [b:80]")).config
    assert len(config.upstreams["x"].backends) == 1
    assert load_text(text_of("{dns: 'a:80'}", ", backends: []")).config.upstreams["x"].backends == ()
