"""Where a request comes from: who is asked first, and who is believed."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from proxy.balancing.keys import make_key
from proxy.balancing.locations import BUILTIN
from proxy.features.geo.database import Database
from proxy.features.geo.key import LocatedKey
from proxy.features.geo.locator import Locator
from proxy.features.geo.networks import Networks
from tests.support.exchanges import exchange
from tests.support.mmdb import write

KNOWN = frozenset((b"fra", b"lon", b"nyc"))
NETWORKS = Networks({ip_network("203.0.113.0/24"): b"fra", ip_network("2001:db8::/32"): b"lon"})


def located(locator: Locator, lines: str = "", address: str = "10.0.0.7", trusted: str | None = "10.0.0.0/8") -> bytes:
    return LocatedKey(locator, []).of(exchange(lines, address, trusted)) or b""


@pytest.mark.parametrize(
    ("value", "location"),
    [
        ("fra", b"fra"),
        ("DE", b"fra"),
        ("de", b"fra"),
        ("US", b"nyc"),
        ("FRA", b""),  # names are exact
        ("XX", b""),
        ("", b""),
        ("fra\tnyc", b""),
    ],
)
def test_a_header_of_a_trusted_proxy(value: str, location: bytes) -> None:
    locator = Locator(b"x-client-region", {"DE": b"fra", "us": b"nyc"}, KNOWN)
    assert located(locator, f"X-Client-Region: {value}\r\n") == location


def test_a_header_of_anybody_else_is_not_believed() -> None:
    locator = Locator(b"x-client-region", {}, KNOWN, networks=NETWORKS, default=b"nyc")
    lines = "X-Client-Region: lon\r\n"
    assert located(locator, lines, "10.0.0.7") == b"lon"
    assert located(locator, lines, "203.0.113.5") == b"fra"
    assert located(locator, lines, "198.51.100.1") == b"nyc"
    assert located(locator, lines, "10.0.0.7", None) == b"nyc"


def test_without_the_header_the_address_counts_that_is_behind_trusted_proxies() -> None:
    locator = Locator(b"x-client-region", {}, KNOWN, networks=NETWORKS)
    assert located(locator, "X-Forwarded-For: 203.0.113.9\r\n") == b"fra"
    assert located(locator, "X-Forwarded-For: 203.0.113.9, 198.51.100.1\r\n") == b""
    assert located(locator, "X-Forwarded-For: 203.0.113.9\r\n", "198.51.100.1") == b""
    assert located(locator, 'Forwarded: for="[2001:db8::7]:1234"\r\n') == b"lon"
    assert located(locator, address="2001:db8::1%eth0") == b"lon"
    assert located(locator, address="unix") == b""


def test_the_database_goes_before_the_networks_and_the_default_comes_last(tmp_path: Path) -> None:
    file = write(tmp_path / "a.mmdb", {"203.0.113.0/25": {"place": "nyc"}})
    database = Database(str(file), "place", {"nyc": b"nyc"}, BUILTIN)
    locator = Locator(None, {}, KNOWN, database, NETWORKS, b"lon")
    assert located(locator, address="203.0.113.5") == b"nyc"
    assert located(locator, address="::ffff:203.0.113.6") == b"nyc"
    assert located(locator, address="203.0.113.200") == b"fra"
    assert located(locator, address="192.0.2.1") == b"lon"


def test_nothing_asked_is_nothing_known() -> None:
    assert located(Locator()) == b""
    assert located(Locator(default=b"fra")) == b"fra"


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ("X-User: ann\r\nX-Client-Region: fra\r\n", b"fra\nann"),
        ("X-User: ann\r\n", b"\nann"),
        ("X-Client-Region: fra\r\n", b"fra"),
        ("", b""),
    ],
)
def test_the_key_is_the_location_and_then_what_the_algorithm_inside_goes_by(lines: str, key: bytes) -> None:
    located_key = LocatedKey(Locator(b"x-client-region", {}, KNOWN), [make_key("header:x-user", None)])
    assert located_key.of(exchange(lines, trusted="10.0.0.0/8")) == key
