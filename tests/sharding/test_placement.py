"""What all placements promise: by names and weights alone, in whatever order, and the same everywhere."""

from __future__ import annotations

import pytest

from benchmarks.moving import equal, owners
from proxy.sharding import Maglev, Placement, Rendezvous, Ring

every = pytest.mark.parametrize("make", [Ring, Maglev, Rendezvous])


@every
def test_the_order_of_names_does_not_matter(make: type[Placement]) -> None:
    weights = {"a": 1.0, "b": 3.0, "c": 2.0}
    assert owners(make(weights)) == owners(make(dict(reversed(weights.items()))))


@every
def test_only_ratios_matter_to_who_is_first(make: type[Placement]) -> None:
    """A ring has more points for larger weights; the others are the same."""
    if make is not Ring:
        assert owners(make({"a": 1.0, "b": 3.0})) == owners(make({"a": 2.0, "b": 6.0}))


@every
def test_nobody_is_an_error_in_words(make: type[Placement]) -> None:
    with pytest.raises(LookupError, match="nobody to place keys at"):
        make({}).owner(b"key")


@every
def test_there_are_16_bits_for_who_it_is(make: type[Placement]) -> None:
    with pytest.raises(ValueError, match="65536 names are more than 65535"):
        make(dict.fromkeys(map(str, range(65_536)), 1.0))


@every
def test_shares_add_up(make: type[Placement]) -> None:
    assert sum(make(equal(9)).shares().values()) == pytest.approx(1.0)


def test_places_are_the_same_in_every_version() -> None:
    """Fleets are upgraded one by one: a change here moves everybody's keys."""
    weights = {f"10.0.0.{n}:80": 1.0 for n in range(5)}
    keys = [b"user-%d" % n for n in range(12)]
    found = {make.__name__: [make(weights).owner(key)[7] for key in keys] for make in (Ring, Maglev, Rendezvous)}
    assert found == {"Ring": GOLDEN_RING, "Maglev": GOLDEN_MAGLEV, "Rendezvous": GOLDEN_RENDEZVOUS}


GOLDEN_RING = list("222220422112")
GOLDEN_MAGLEV = list("221300443100")
GOLDEN_RENDEZVOUS = list("134034030310")
