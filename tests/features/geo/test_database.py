"""MaxMind DB files: what their records mean, what is remembered, and what is said of bad ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.balancing.locations import BUILTIN
from proxy.features.geo import database
from proxy.features.geo.database import Database
from proxy.features.geo.networks import packed
from tests.support.mmdb import write

RECORDS: dict[str, Any] = {
    "81.2.69.0/24": {
        "country": {"iso_code": "DE"},
        "location": {"latitude": 52.5, "longitude": 13.4},
        "place": "eu-west",
    },
    "202.12.0.0/16": {"country": {"iso_code": "JP"}, "subdivisions": [{"iso_code": "13"}]},
    "10.0.0.0/25": {"country": {"iso_code": "DE"}},
    "10.0.0.128/25": {"country": {"iso_code": "JP"}},
    "2001:db8::/32": {"country": {"iso_code": "JP"}},
    "5.0.0.0/8": {"country": {"iso_code": "XX"}, "location": {"latitude": 1.0}},
}
VALUES = {"DE": b"eu-central", "jp": b"ap-northeast"}


class Counting:
    """A reader that counts how often it is asked."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader
        self.asked: list[str] = []

    def get_with_prefix_len(self, address: str) -> Any:
        self.asked.append(address)
        return self.reader.get_with_prefix_len(address)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("geo") / "geo.mmdb", RECORDS)


def opened(file: Path, field: str = "country.iso_code") -> Database:
    found = Database(str(file), field, VALUES, BUILTIN)
    found.reader = Counting(found.reader)
    return found


def find(found: Database, address: str) -> bytes:
    at = packed(address)
    assert at is not None
    return found.find(address, at)


@pytest.mark.parametrize(
    ("address", "field", "location"),
    [
        ("81.2.69.9", "country.iso_code", b"eu-central"),
        ("202.12.3.4", "country.iso_code", b"ap-northeast"),
        ("2001:db8:1::1", "country.iso_code", b"ap-northeast"),
        ("5.6.7.8", "country.iso_code", b""),  # a value that means nothing
        ("9.9.9.9", "country.iso_code", b""),  # an address that is not in it
        ("81.2.69.9", "location", b"eu-central"),  # the nearest
        ("5.6.7.8", "location", b""),
        ("81.2.69.9", "place", b"eu-west"),  # the name of a location
        ("81.2.69.9", "country.nothing.at.all", b""),
        ("202.12.3.4", "subdivisions.0.iso_code", b""),
        ("202.12.3.4", "subdivisions.7.iso_code", b""),
    ],
)
def test_what_a_record_means(file: Path, address: str, field: str, location: bytes) -> None:
    assert find(opened(file, field), address) == location


def test_neighbours_are_remembered_together(file: Path) -> None:
    found = opened(file)
    assert {find(found, f"81.2.69.{n}") for n in range(20)} == {b"eu-central"}
    assert {find(found, f"2001:db8:1::{n}") for n in range(20)} == {b"ap-northeast"}
    assert {find(found, f"9.9.9.{n}") for n in range(20)} == {b""}
    assert len(found.reader.asked) == 3


def test_those_of_a_smaller_network_are_not(file: Path) -> None:
    found = opened(file)
    for _ in range(2):
        assert find(found, "10.0.0.1") == b"eu-central"
        assert find(found, "10.0.0.200") == b"ap-northeast"
    assert len(found.reader.asked) == 2


def test_memory_is_bounded_and_what_is_asked_for_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "GENERATION", 10)
    found = opened(file)
    for n in range(200):
        find(found, f"20.0.{n}.1")
        find(found, "81.2.69.1")
        assert len(found.young) + len(found.old) <= 20
    assert found.reader.asked.count("81.2.69.1") == 1


def test_an_address_that_the_file_cannot_hold_is_not_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = opened(write(tmp_path / "v4.mmdb", {"81.2.69.0/24": RECORDS["81.2.69.0/24"]}, 4))
    assert [find(found, address) for address in ("2001:db8:1::1", "2001:db8:2::1", "81.2.69.9")] == [
        *(b"", b""),
        b"eu-central",
    ]
    assert len(caplog.messages) == 1
    assert "says nothing of 2001:db8:1::1" in caplog.text


def test_a_record_that_is_not_what_was_expected_means_nothing(tmp_path: Path) -> None:
    file = write(tmp_path / "odd.mmdb", {"10.0.0.0/8": {"location": {"latitude": "north", "longitude": "west"}}})
    assert find(opened(file, "location"), "10.1.2.3") == b""


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "there is no file .*; download one, such as GeoLite2-Country.mmdb"), (b"text", "is no MaxMind DB")],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "x.mmdb"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=said):
        Database(str(file), "country.iso_code", {}, BUILTIN)


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|is no MaxMind DB"):
        Database(str(tmp_path), "country.iso_code", {}, BUILTIN)


def test_without_the_package_it_says_what_to_install(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    with pytest.raises(ValueError, match=r"needs the package maxminddb; install qantara\[geo\]"):
        opened(file)
