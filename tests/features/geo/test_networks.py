"""Tables of networks: the longest prefix counts, in both families."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.features.geo.networks import Networks, packed


def table(**networks: str) -> Networks:
    return Networks({ip_network(network): name.encode() for name, network in networks.items()})


def find(networks: Networks, address: str) -> bytes | None:
    found = packed(address)
    assert found is not None
    return networks.find(found)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.0.0.1", b"all"),
        ("10.1.0.0", b"site"),
        ("10.1.255.255", b"site"),
        ("10.2.0.0", b"all"),
        ("10.1.2.3", b"desk"),
        ("10.1.2.2", b"site"),
        ("10.1.2.4", b"site"),
        ("9.255.255.255", None),
        ("11.0.0.0", None),
        ("0.0.0.0", None),
        ("255.255.255.255", b"last"),
        ("2001:db8::1", b"six"),
        ("2001:db8:ffff::1", b"six"),
        ("2001:db9::1", None),
        ("::ffff:10.1.2.3", b"desk"),
        ("::ffff:a01:203", b"desk"),
        ("2001:db8::1%eth0", b"six"),
    ],
)
def test_the_longest_prefix_counts(address: str, name: bytes | None) -> None:
    networks = table(
        all="10.0.0.0/8", site="10.1.0.0/16", desk="10.1.2.3/32", last="255.255.255.255/32", six="2001:db8::/32"
    )
    assert find(networks, address) == name


def test_everything_and_nothing() -> None:
    assert find(table(), "10.0.0.1") is None
    assert find(table(), "::1") is None
    both = table(four="0.0.0.0/0", six="::/0")
    assert find(both, "255.255.255.255") == b"four"
    assert find(both, "ffff::1") == b"six"


@pytest.mark.parametrize("text", ["unix", "", "10.0.0", "10.0.0.256", "::g", "10.0.0.1:80", "1" * 1000, "\x00"])
def test_what_is_no_address(text: str) -> None:
    assert packed(text) is None


NETWORKS = st.builds(
    lambda at, bits: ip_network((at, bits), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
)


@given(st.dictionaries(NETWORKS, st.sampled_from([b"a", b"b", b"c"]), max_size=30), st.lists(st.integers(0, 2**32 - 1)))
def test_it_is_what_a_search_through_all_finds(networks: dict[object, bytes], numbers: list[int]) -> None:
    made = Networks(networks)  # type: ignore[arg-type]
    edges = [int(end) for net in networks for end in (net.network_address, net.broadcast_address)]  # type: ignore[attr-defined]
    for number in [*numbers, *edges, *(edge + 1 for edge in edges if edge < 2**32 - 1)]:
        address = ip_address(number)
        around = [net for net in networks if address in net]  # type: ignore[operator]
        expected = networks[max(around, key=lambda net: net.prefixlen)] if around else None  # type: ignore[attr-defined]
        assert made.find(address.packed) == expected
