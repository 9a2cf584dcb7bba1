"""Rendezvous: the race against the scores written down plainly, and that nothing moves between two others, ever."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.moving import HASHES, equal, joining, leaving, moved, owners
from proxy.sharding import Rendezvous
from proxy.sharding.rendezvous import check_slots
from proxy.sharding.tables import next_hash

GOLDEN = 0x9E3779B97F4A7C15
SLOTS = 64
WEIGHTS = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=3), st.floats(0.1, 4.0), min_size=1, max_size=6)
COUNTS = [3, 10, 100, *(pytest.param(count, marks=pytest.mark.long) for count in (1000, 10_000))]


def scores(seed: int, weight: float) -> list[float]:
    """When each slot is first hit."""
    phase = (next_hash((seed - GOLDEN) % 2**64) >> 11) / 2**53
    found = [float("inf")] * SLOTS
    thrown = 0
    while float("inf") in found:
        moment = (thrown + phase) * (1.0 / weight)
        thrown += 1
        slot = next_hash((seed + (thrown - 1) * GOLDEN) % 2**64) >> 58
        found[slot] = min(found[slot], moment)
    return found


@settings(max_examples=40)
@given(WEIGHTS)
def test_a_slot_is_his_whose_score_is_best(weights: dict[str, float]) -> None:
    table = Rendezvous(weights, SLOTS)
    tables = [scores(seed, weight) for seed, weight in zip(table.seeds, table.weights, strict=True)]
    for slot in range(SLOTS):
        mine = [each[slot] for each in tables]
        assert table.owners[slot] == mine.index(min(mine))


@settings(max_examples=40)
@given(WEIGHTS, st.text("abcdefgh", min_size=1, max_size=3), st.floats(0.1, 4.0))
def test_nothing_moves_between_two_others(weights: dict[str, float], name: str, weight: float) -> None:
    others = {each: weights[each] for each in weights if each != name} or {"z": 1.0}
    tables = [Rendezvous(each, 1024) for each in (others, {**others, name: weight}, {**others, name: weight / 2})]
    without, whole, half = ([table.names[at] for at in table.owners] for table in tables)
    assert moved(without, whole, name) == 0
    assert moved(whole, half, name) == 0
    assert half.count(name) <= whole.count(name)


@pytest.mark.parametrize("count", COUNTS)
def test_keys_that_move(count: int) -> None:
    everything, foreign = leaving(Rendezvous, count)
    assert everything <= 1.1
    assert foreign == 0
    everything, foreign = joining(Rendezvous, count)
    assert everything <= (1.3 if count <= 1000 else 2.0)  # the share of the one who comes, as chance has it
    assert foreign == 0


def test_shares_follow_the_weights() -> None:
    """Within four standard deviations of what chance does with so many slots."""
    weights = {name: 1.0 + at % 5 for at, name in enumerate(equal(50))}
    total = sum(weights.values())
    table = Rendezvous(weights)
    for name, share in table.shares().items():
        wanted = weights[name] / total
        assert abs(share - wanted) <= 4 * (wanted / len(table.owners)) ** 0.5


def test_a_changed_weight_moves_as_much_as_it_changes() -> None:
    weights = equal(100)
    name = next(iter(weights))
    share = moved(owners(Rendezvous(weights)), owners(Rendezvous({**weights, name: 2.0}))) / len(HASHES)
    assert 0.7 / 100 <= share <= 1.3 / 100


@pytest.mark.parametrize("slots", [0, 1, 100, 1 << 25, "64"])
def test_slots_are_a_power_of_two(slots: int) -> None:
    with pytest.raises(ValueError, match="must be a power of two from 2"):
        check_slots(slots)
