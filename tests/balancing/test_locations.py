"""Distances on the globe, and the order in which regions are used."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.balancing.locations import BUILTIN, Location, distance, nearest, ordered
from proxy.configuration.load import load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        (Location(50.11, 8.68), Location(51.51, -0.13), 638),  # Frankfurt, London
        (Location(40.71, -74.01), Location(51.51, -0.13), 5570),  # New York, London
        (Location(-33.87, 151.21), Location(35.68, 139.69), 7824),  # Sydney, Tokyo
        (Location(0.0, 179.5), Location(0.0, -179.5), 111),  # across the date line
        (Location(90.0, 0.0), Location(-90.0, 0.0), 20015),
        (Location(1.0, 2.0), Location(1.0, 2.0), 0),
    ],
)
def test_distances(one: Location, other: Location, km: int) -> None:
    assert distance(one, other) == pytest.approx(km, abs=max(2, km * 0.002))
    assert distance(other, one) == distance(one, other)


def test_nobody_knows_how_far_away_nowhere_is() -> None:
    assert distance(Location(), Location(1.0, 1.0)) is None
    assert distance(Location(1.0), Location(1.0, 1.0)) is None


def test_the_order_is_by_distance() -> None:
    order = ordered("eu-west", ["us-east", "eu-central", "oceania", "eu-west"], BUILTIN)
    assert order == [["eu-west"], ["eu-central"], ["us-east"], ["oceania"]]


def test_a_preference_goes_before_distance_and_before_the_name_itself() -> None:
    known = BUILTIN | {"eu-west": BUILTIN["eu-west"]._replace(near=("us-east", "eu-west", "gone"))}
    order = ordered("eu-west", ["eu-central", "us-east", "eu-west"], known)
    assert order == [["us-east"], ["eu-west"], ["eu-central"]]


def test_what_nobody_knows_the_way_to_comes_last_together() -> None:
    assert ordered("eu-west", ["mars", "us-east", None], BUILTIN) == [["us-east"], [None, "mars"]]
    assert ordered("rack-7", ["rack-7", "us-east", "mars"], BUILTIN) == [["rack-7"], ["mars", "us-east"]]
    assert ordered("eu-west", [], BUILTIN) == []


def test_the_nearest_of_all() -> None:
    assert nearest(48.14, 11.58, BUILTIN) == "eu-central"  # Munich
    assert nearest(-1.29, 36.82, BUILTIN) == "me-south"  # Nairobi: Manama is nearer than Cape Town
    assert nearest(0.0, 0.0, {"nowhere": Location()}) is None


def test_the_shipped_list_is_the_one_that_is_built_in() -> None:
    geo = load(ROOT / "config" / "locations.yaml").config.geo
    assert geo is not None
    assert geo.locations is not None
    listed = {name: Location(place.latitude, place.longitude, place.near) for name, place in geo.locations.items()}
    assert listed == BUILTIN
    assert len(BUILTIN) == 14
