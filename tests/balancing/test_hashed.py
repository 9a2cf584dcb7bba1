"""Bounded loads: the limit that always holds, when it does not apply, and where a key goes whose place is full."""

from __future__ import annotations

import random
from collections import Counter
from itertools import accumulate
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.balancing import Done, create
from proxy.balancing.hashed import Hashed
from proxy.scoreboard import IN_FLIGHT
from proxy.scoreboard import create as create_board
from proxy.sharding.tables import hash_of
from proxy.upstream.backend import Backend, BackendSpec

from .members import backends, set_members

ALGORITHMS = ("consistent_hash", "maglev", "rendezvous")
every = pytest.mark.parametrize("algorithm", ALGORITHMS)
SMALL = {"maglev": {"table": 1009}, "rendezvous": {"slots": 1024}, "consistent_hash": {"points": 64}}
KEYS = [b"key-%d" % n for n in range(200)]
DONE = Done(0.001)


def make(algorithm: str, factor: float | None = 1.5, quiet: float = 0.0) -> Hashed:
    balancer = create(algorithm, factor=factor, quiet=quiet, **SMALL[algorithm])
    assert isinstance(balancer, Hashed)
    return balancer


def take(balancer: Hashed, key: bytes) -> Backend:
    backend = balancer.pick(key)
    assert backend is not None
    backend.in_flight += 1
    balancer.assigned(backend)
    return backend


def drop(balancer: Hashed, backend: Backend) -> None:
    backend.in_flight -= 1
    balancer.released(backend, DONE)


def zipf(chance: random.Random, keys: int, count: int, s: float = 1.1) -> list[bytes]:
    bounds = list(accumulate(1 / rank**s for rank in range(1, keys + 1)))
    return [b"key-%d" % at for at in chance.choices(range(keys), cum_weights=bounds, k=count)]


@every
@settings(max_examples=30, deadline=None)
@given(
    weights=st.lists(st.integers(0, 20), min_size=1, max_size=12).filter(any),
    factor=st.sampled_from([1.05, 1.25, 1.5, 2.0]),
    seed=st.integers(0, 1000),
    most=st.integers(1, 300),
)
def test_nobody_has_more_than_the_factor_times_his_share(
    algorithm: str, weights: list[int], factor: float, seed: int, most: int
) -> None:
    """With keys by Zipf's law, whatever is in flight, in every moment."""
    balancer, chance, members = make(algorithm, factor), random.Random(seed), backends(*weights)
    set_members(balancer, members)
    total, flying = sum(weights), []
    for key in zipf(chance, 100, 400):
        backend = take(balancer, key)
        flying.append(backend)
        assert backend.in_flight <= ceil(factor * len(flying) * backend.weight / total - 1e-9)
        if len(flying) >= most or chance.random() < 0.3:
            drop(balancer, flying.pop(chance.randrange(len(flying))))


@every
def test_the_mark_of_the_issue(algorithm: str) -> None:
    """1,000 in flight at 50 equal backends: 20 each, so 30 at most; without the limit the hot key has far more."""
    for factor, most in ((1.5, 30), (1.25, 25), (None, 1000)):
        balancer = make(algorithm, factor)
        members = backends(*[1] * 50)
        set_members(balancer, members)
        peak, flying = 0, list[Backend]()
        for key in zipf(random.Random(7), 10_000, 6000):
            if len(flying) == 1000:
                drop(balancer, flying.pop(0))
            flying.append(take(balancer, key))
            peak = max(peak, flying[-1].in_flight)
        assert peak <= most
        assert factor is not None or peak > 100


@every
@pytest.mark.parametrize("factor", [1.25, 1.5])
def test_thousands_of_requests_under_way(algorithm: str, factor: float) -> None:
    """At 200 backends of different weights, with keys by Zipf's law; requests end in any order. Whoever gets one has no
    more then than the factor times his share, and the limit is not slack: some have exactly that."""
    balancer, chance = make(algorithm, factor), random.Random(11)
    members = backends(*[1 + at % 5 for at in range(200)])
    set_members(balancer, members)
    total, flying, full = sum(backend.weight for backend in members), list[Backend](), 0
    for key in zipf(chance, 20_000, 15_000):
        backend = take(balancer, key)
        flying.append(backend)
        limit = ceil(factor * len(flying) * backend.weight / total - 1e-9)
        assert backend.in_flight <= limit
        full += backend.in_flight == limit
        if len(flying) > 5000:
            last = chance.randrange(len(flying))
            flying[last], flying[-1] = flying[-1], flying[last]
            drop(balancer, flying.pop())
    assert len(flying) == 5000
    assert full > 100


@every
@pytest.mark.parametrize("quiet", [1.0, 4.0])
def test_a_quiet_pool_keeps_keys_together(algorithm: str, quiet: float) -> None:
    """As many parallel requests of one key stay as the limit allows for `quiet` requests at each backend."""
    balancer = make(algorithm, 1.5, quiet)
    set_members(balancer, backends(*[1] * 10))
    first = take(balancer, b"alone")
    allowed = ceil(1.5 * quiet)
    assert all(take(balancer, b"alone") is first for _ in range(allowed - 1))
    assert take(balancer, b"alone") is not first


@every
def test_a_key_that_has_to_leave_goes_the_same_way(algorithm: str) -> None:
    """In every worker, by nothing but the loads; and keys of one full backend do not all go to the same next one."""
    ways = []
    for _ in range(2):
        balancer = make(algorithm, 1.5)
        members = backends(*[1] * 12)
        set_members(balancer, members)
        full = balancer.pick(b"key-0")
        assert full is not None
        for backend in members:
            backend.in_flight = 20 if backend is full else 2
        balancer.tick(0.0)
        homes = {key: balancer.backends[balancer.placement.at(hash_of(key))] for key in KEYS}  # type: ignore[union-attr]
        ways.append({key: _name(balancer.pick(key)) for key in KEYS if homes[key] is full})
        assert all(balancer.pick(key) is home for key, home in homes.items() if home is not full)
    assert ways[0] == ways[1]
    assert _name(full) not in ways[0].values()
    assert len(Counter(ways[0].values())) > 2


def _name(backend: Backend | None) -> str:
    assert backend is not None
    return backend.name


@every
def test_without_a_limit_a_key_stays_whatever_its_load(algorithm: str) -> None:
    for none in (None, 0):
        balancer = make(algorithm, none)
        set_members(balancer, backends(1, 1, 1))
        assert len({take(balancer, b"hot").name for _ in range(500)}) == 1


@every
def test_counts_are_right_after_members_have_changed(algorithm: str) -> None:
    balancer = make(algorithm, 1.5)
    members = backends(1, 1, 1)
    set_members(balancer, members)
    flying = [take(balancer, key) for key in KEYS[:30]]
    gone = members[0]
    set_members(balancer, members[1:])
    assert balancer.mine == sum(backend.in_flight for backend in members[1:])
    for backend in flying:
        drop(balancer, backend)
    assert (balancer.mine, gone.in_flight) == (0, 0)
    take(balancer, b"key")
    balancer.assigned(gone)  # a request that somebody else gave to a backend which is no member
    assert balancer.mine == 1


@every
def test_a_tick_counts_what_others_have_taken(algorithm: str) -> None:
    """Another algorithm was in charge before: its requests end without this one being told."""
    balancer = make(algorithm, 1.5)
    members = backends(1, 1)
    members[0].in_flight = 5
    set_members(balancer, members)
    assert balancer.mine == 5
    members[0].in_flight = 0
    balancer.tick(1.0)
    assert balancer.mine == 0


def test_the_loads_of_other_workers_count() -> None:
    board = create_board(4)
    board.set_used(4)
    members = []
    for name in "abcd":
        rows = board.backend_rows("app", name)
        board.slot = 1
        members.append(Backend(BackendSpec(name, name, 80, ""), rows, board))
    balancer = make("consistent_hash", 1.5)
    set_members(balancer, members)
    home = balancer.pick(b"key")
    assert home is not None
    home.rows[2 * 16 + IN_FLIGHT] = 3  # worker 2 has three there, and worker 3 nothing anywhere
    balancer.tick(1.0)
    assert (balancer.mine, balancer.others) == (0, 3)
    assert balancer.pick(b"key") is not home
    for backend in members:
        backend.rows[3 * 16 + IN_FLIGHT] = 4  # now its seven are within 1.5 times the share
    balancer.tick(2.0)
    assert balancer.others == 19
    assert balancer.pick(b"key") is home


@every
def test_a_table_is_made_anew_only_if_it_has_to_be(algorithm: str) -> None:
    balancer = make(algorithm)
    members = backends(1, 2, 3)
    set_members(balancer, members)
    before = balancer.placement
    set_members(balancer, list(reversed(members)))
    set_members(balancer, [*members, *backends(0)[:0]])
    assert balancer.placement is before
    for backend in members:  # as a slow start multiplies all weights
        backend.weight, backend.scale = backend.weight * 10, 10
    set_members(balancer, members)
    assert balancer.placement is before
    members[0].weight = 5
    set_members(balancer, members)
    assert balancer.placement is not before


@every
def test_keys_move_only_from_who_leaves(algorithm: str) -> None:
    """But for Maglev, where they hardly do."""
    balancer = create(algorithm)
    members = backends(*[2] * 9)
    set_members(balancer, members)
    before = {key: balancer.pick(key) for key in KEYS}
    set_members(balancer, members[1:], members)
    foreign = sum(balancer.pick(key) is not home for key, home in before.items() if home is not members[0])
    assert foreign <= (2 if algorithm == "maglev" else 0)


@every
def test_it_tells_what_each_has(algorithm: str) -> None:
    balancer = make(algorithm)
    assert balancer.explain() == {"backends": {}, "picks": []}
    set_members(balancer, backends(1, 3))
    take(balancer, b"key")
    told = balancer.explain()["backends"]
    assert told["b"]["share_of_keys"] == pytest.approx(0.75, abs=0.15)
    assert told["a"]["in_flight"] + told["b"]["in_flight"] == 1
    assert (told["a"]["limit"], told["b"]["limit"]) == (1, 3)
    assert "limit" not in _told_without_limit(algorithm)["a"]


def _told_without_limit(algorithm: str) -> dict[str, dict[str, float]]:
    balancer = make(algorithm, None)
    set_members(balancer, backends(1))
    found: dict[str, dict[str, float]] = balancer.explain()["backends"]
    return found


@every
@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"factor": 1.0}, "factor: must be greater than 1 and at most 100, or null for no limit, not 1.0"),
        ({"factor": "150"}, "factor: must be"),
        ({"factor": True}, "factor: must be"),
        ({"quiet": -1}, "quiet: must be a number of requests for each backend, 0 or more, not -1"),
        ({"quiet": "4"}, "quiet: must be"),
    ],
)
def test_wrong_parameters_are_told_in_words(algorithm: str, params: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match="must be") as caught:
        create(algorithm, **params)
    assert said in str(caught.value)
