"""Keys of one or several parts."""

from __future__ import annotations

import pytest

from proxy.balancing.keys import make_key
from proxy.stages.request_key import RequestKey, address_key, client_of
from tests.support.exchanges import exchange

USER, QUERY = make_key("header:x-user", None), make_key("query:q", None)


def test_one_part_is_the_key() -> None:
    assert RequestKey([USER]).of(exchange("X-User: ann\r\n")) == b"ann"
    assert RequestKey([None]).of(exchange()) == b"10.0.0.7"


def test_without_parts_all_requests_have_one_key() -> None:
    assert RequestKey([]).of(exchange()) == b""


def test_a_missing_part_is_no_key() -> None:
    assert RequestKey([USER]).of(exchange()) is None
    assert RequestKey([QUERY, USER]).of(exchange()) is None


def test_no_two_keys_are_written_alike() -> None:
    keys = RequestKey([USER, make_key("header:x-app", None)])
    assert keys.of(exchange("X-User: a1\r\nX-App: 1\r\n")) != keys.of(exchange("X-User: a\r\nX-App: 11\r\n"))


@pytest.mark.parametrize(
    ("address", "lines", "counts_as"),
    [
        ("10.0.0.7", "X-Forwarded-For: 203.0.113.9\r\n", b"203.0.113.9"),
        ("192.0.2.1", "X-Forwarded-For: 203.0.113.9\r\n", b"192.0.2.1"),
        ("2001:db8:1:2::3", "", bytes.fromhex("20010db800010002")),
        ("fe80::1%eth0", "", bytes.fromhex("fe80000000000000")),
        ("unix", "", b"unix"),
    ],
)
def test_what_a_client_counts_as(address: str, lines: str, counts_as: bytes) -> None:
    assert client_of(exchange(lines, address, "10.0.0.0/8")) == counts_as


def test_what_trusted_proxies_say_is_read_once_for_each_request() -> None:
    x = exchange("X-Forwarded-For: 203.0.113.9\r\n", trusted="10.0.0.0/8")
    assert x.client_address() is x.client_address()
    x.clear()
    assert x.address is None


def test_an_address_that_is_none_is_its_own_key() -> None:
    assert address_key("unix:") == b"unix:"
    assert address_key("2001:db8::1%eth0") == bytes.fromhex("20010db800000000")
