"""The section `geo`: what it is compiled to, and what is said of what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy.configuration.compile import compile_plan
from proxy.configuration.load import load_text
from proxy.errors import ConfigError
from proxy.features.geo.key import LocatedKey
from proxy.features.geo.locator import Locator, open_locator
from tests.support.exchanges import exchange, pick_of
from tests.support.mmdb import write
from tests.support.plans import linked

HEAD = "listeners: [{bind: ':0'}]\nroutes: [{upstream: app}]\n"
APP = "upstreams: {app: {balance: geographic, backends: [{address: 'a:1', region: us-east}]}}\n"


def refused(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded = load_text(HEAD + text, "c.yaml")
        linked(loaded.config, loaded.report)
    return [str(problem) for problem in caught.value.problems]


def locator(text: str) -> Locator:
    plan = compile_plan(load_text(f"{HEAD}{APP}geo: {text}\n").config)
    return open_locator(plan.routes[0].features["geo"])


def find(made: Locator, lines: str = "", address: str = "10.0.0.7") -> bytes:
    return LocatedKey(made, []).of(exchange(lines, address, "10.0.0.0/8")) or b""


def test_a_header_in_short_and_at_length() -> None:
    assert find(locator("{header: X-Where}"), "X-Where: eu-west\r\n") == b"eu-west"
    assert (
        find(locator("{header: {name: CF-IPCountry, values: {DE: eu-central}}}"), "cf-ipcountry: DE\r\n")
        == b"eu-central"
    )
    assert find(locator("{header: X-Where}"), "X-Where: mars\r\n") == b""


def test_networks_and_a_default() -> None:
    made = locator(
        "{networks: {203.0.113.0/24: eu-west, 203.0.113.7: eu-north, '2001:db8::/32': oceania}, default: af-south}"
    )
    assert find(made, address="203.0.113.1") == b"eu-west"
    assert find(made, address="203.0.113.7") == b"eu-north"
    assert find(made, address="2001:db8::1") == b"oceania"
    assert find(made, address="192.0.2.1") == b"af-south"


def test_a_database(tmp_path: Path) -> None:
    file = write(tmp_path / "c.mmdb", {"203.0.113.0/24": {"country": {"iso_code": "DE"}}})
    made = locator(f"{{database: {{path: {file}, values: {{DE: eu-central}}}}}}")
    assert find(made, address="203.0.113.1") == b"eu-central"
    write(file, {"203.0.113.0/24": {"country": {"iso_code": "FR"}, "place": "eu-west"}})
    assert find(locator(f"{{database: {{path: {file}, field: place}}}}"), address="203.0.113.1") == b"eu-west"


def test_locations_of_ones_own_take_the_place_of_the_built_in_ones() -> None:
    made = locator("{header: X-Where, locations: {here: {}, there: {latitude: 1, longitude: 2.5, near: [here]}}}")
    assert find(made, "X-Where: here\r\n") == b"here"
    assert find(made, "X-Where: eu-west\r\n") == b""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{default: eu-wst}", 'c.yaml:4:16: geo.default: there is no location "eu-wst" (did you mean eu-west?)'),
        ("{networks: {10.0.0.0/8: mars}}", 'geo.networks."10.0.0.0/8": there is no location "mars"'),
        ("{header: {name: X, values: {DE: fra}}}", 'geo.header.values.DE: there is no location "fra"'),
        ("{database: {path: x, values: {DE: fra}}, locations: {ber: {}}}", 'values.DE: there is no location "fra"'),
        ("{networks: {nonsense: eu-west}}", "must be a network such as"),
        ("{locations: {a: {latitude: 91}}}", "latitude: must be at most 90"),
        ("{locations: {a: {near: b}}}", "near: must be a list"),
        ('{database: "a\\0b"}', "geo.database: the path of a file must not hold control characters"),
        ("{header: 'not a token'}", "is no token"),
        (
            "{default: a, locations: {a: {near: [us-east, us-eats]}}}",
            'c.yaml:4:51: geo.locations.a.near[1]: there is no location or region "us-eats" (did you mean us-east?)',
        ),
        ("{default: a, locations: {a: {latitude: 1}}}", "geo.locations.a: has a latitude and no longitude"),
        ("{default: a, locations: {a: {longitude: 1}}}", "geo.locations.a: has a longitude and no latitude"),
        ("{}", "c.yaml:4:6: geo: never says where a client is: give header, database, networks or default"),
        ("{locations: {a: {}}}", "geo: never says where a client is: give header, database, networks or default"),
        ("{database: /no/such.mmdb}", "geo.database: there is no file /no/such.mmdb; download one"),
        (
            "null",
            "upstreams.app.balance: the algorithm needs to know where clients are: say where it is found out with "
            "`geo`",
        ),
    ],
)
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    problems = refused(f"{APP}geo: {text}\n")
    assert len(problems) == 1
    assert said in problems[0]


def test_a_region_that_nobody_knows_the_way_to_is_a_warning() -> None:
    text = f"{HEAD}{APP.replace('us-east', 'us-eats')}geo: {{default: eu-west}}\n"
    (warning,) = load_text(text).warnings
    assert 'there is no location "us-eats" (did you mean us-east?): it is used last' in str(warning)
    discover = "discover: {dns: 'x:1', each: {region: us-eats}}"
    text = f"{HEAD}upstreams: {{app: {{balance: geographic, {discover}}}}}\ngeo: {{default: eu-west}}\n"
    (warning,) = load_text(text).warnings
    assert "upstreams.app.discover.each.region: there is no location" in str(warning)
    assert load_text(text.replace("geographic", "round_robin")).warnings == ()


def test_a_region_that_a_source_may_find_is_no_error() -> None:
    """But if it looks like a mistake, it is told."""
    geo = "geo: {default: a, locations: {a: {near: [dc-1]}, eu-west: {}}}\n"
    discover = "upstreams: {app: {balance: geographic, discover: {file: x}}}\n"
    (warning,) = load_text(HEAD + discover + geo).warnings
    assert 'geo.locations.a.near[0]: there is no location or region "dc-1"' in str(warning)
    assert load_text(HEAD + discover.replace("file: x", "dns: 'x:1', each: {region: dc-1}") + geo).warnings == ()
    assert load_text(HEAD + APP.replace("us-east", "dc-1") + geo).warnings == ()


def test_a_header_that_nobody_is_believed_in_is_a_warning() -> None:
    text = f"{HEAD}{APP}geo: {{header: X-Where}}\n"
    (warning,) = load_text(text, "c.yaml").warnings
    assert str(warning) == "c.yaml:4:15: geo.header: is never believed: trusted_proxies lists nobody"
    assert load_text(f"{text}trusted_proxies: [10.0.0.0/8]\n").warnings == ()


def key_of(balance: str) -> Any:
    text = f"{HEAD}upstreams: {{app: {{balance: {balance}, backends: ['a:1']}}}}\ngeo: {{header: X-Where}}\n"
    return pick_of(linked(load_text(text).config)).key


def test_the_location_is_asked_for_only_where_an_algorithm_wants_to_know() -> None:
    assert key_of("round_robin") is None
    assert isinstance(key_of("geographic"), LocatedKey)
    assert key_of("geographic").parts == ()
    keyed = "{algorithm: geographic, inner: 'tests.balancing.algorithms:LastByKey', key: client_ip}"
    assert key_of(keyed).parts == (None,)


def test_an_algorithm_inside_that_needs_a_key_has_to_be_given_one() -> None:
    balance = "{algorithm: geographic, inner: 'tests.balancing.algorithms:LastByKey'}"
    text = f"upstreams: {{app: {{balance: {balance}, backends: ['a:1']}}}}\n"
    (problem,) = refused(f"{text}geo: {{header: X}}\n")
    assert "the algorithm needs a key" in problem
