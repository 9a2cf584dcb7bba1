"""What every algorithm of the table must keep: the contract in proxy/balancing/base.py."""

from __future__ import annotations

import gc
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.balancing import ALGORITHMS, Balancer, Done, create
from proxy.balancing.compose import BalanceSpec, SubsetSpec, ZoneSpec, compose
from proxy.features.sticky.balancer import StickySpec, packed
from proxy.upstream.backend import Backend

from .life import Life
from .members import backends, set_members
from .serving import passed_through

every = pytest.mark.parametrize("algorithm", ALGORITHMS)
ONE_AFTER_THE_OTHER = {"first"}
"""Those that fill one member before they begin with the next: weights say how far, and not who gets what."""
KEYS = [b"key-%d" % n for n in range(1000)]
LAYERS = BalanceSpec(
    overprovisioning=1.4,
    zone=ZoneSpec("here", (), 3),
    subset=SubsetSpec(3, "proxy-1"),
    sticky=StickySpec("app", (b"a secret",)),
)
"""Everything that may stand before an algorithm."""


@every
def test_its_name_is_that_of_the_table(algorithm: str) -> None:
    balancer = create(algorithm)
    assert isinstance(balancer, Balancer)
    assert type(balancer).name == algorithm
    assert isinstance(balancer.needs_key, bool)


@every
def test_without_members_there_is_nobody(algorithm: str) -> None:
    balancer = create(algorithm)
    for members in ([], backends(0), backends(0, 0)):
        set_members(balancer, members)
        assert balancer.pick(b"key") is None


@every
def test_a_single_member_gets_everything(algorithm: str) -> None:
    balancer = create(algorithm)
    (only,) = members = backends(3)
    set_members(balancer, members)
    assert all(balancer.pick(key) is only for key in KEYS[:20])


@every
@given(weights=st.lists(st.integers(0, 256), min_size=1, max_size=12))
def test_it_picks_members_that_have_a_weight(algorithm: str, weights: list[int]) -> None:
    balancer = create(algorithm)
    members = backends(*weights)
    set_members(balancer, members)
    usable = {backend.name for backend in members if backend.weight}
    picked = [balancer.pick(key) for key in KEYS[:50]]
    assert {backend.name for backend in picked if backend is not None} <= usable
    assert (None in picked) == (not usable)


@every
def test_after_a_rebuild_only_the_new_members_count(algorithm: str) -> None:
    balancer = create(algorithm)
    members = backends(1, 2, 3)
    set_members(balancer, members)
    for key in KEYS[:7]:
        balancer.pick(key)
    set_members(balancer, members[1:])
    assert members[0] not in [balancer.pick(key) for key in KEYS]
    set_members(balancer, members)
    assert members[0] in [balancer.pick(key) for key in KEYS]


@every
def test_who_is_left_out_may_still_get_requests(algorithm: str) -> None:
    """A drained backend keeps its sessions."""
    balancer = create(algorithm)
    members = backends(1, 1, 1)
    set_members(balancer, members[1:], members)
    members[0].in_flight += 1
    balancer.assigned(members[0])
    balancer.tick(1.0)
    set_members(balancer, [], members)
    balancer.assigned(members[0])
    members[0].in_flight -= 1
    balancer.released(members[0], Done(0.1, now=2.0))
    set_members(balancer, members[1:], members)
    assert {balancer.pick(b"%d" % n) for n in range(300)} <= set(members[1:])


@every
def test_the_requests_of_who_has_left_end_all_the_same(algorithm: str) -> None:
    """Also where others have its place, and when it comes back."""
    balancer = create(algorithm)
    members = backends(1, 2, 3, 4)
    set_members(balancer, members)
    for backend in members:
        backend.in_flight += 2
        balancer.assigned(backend)
        balancer.assigned(backend)
    for outcome, staying in enumerate((members[:2], members[2:], members)):
        set_members(balancer, staying)
        for backend in members:
            balancer.released(backend, Done(0.01, outcome, 1.0))
            balancer.assigned(backend)
        balancer.tick(1.0)
        picked = {balancer.pick(key) for key in KEYS[:50]}
        assert picked <= set(staying)
    assert balancer.explain() is not None


@pytest.mark.parametrize("where", ["alone", "behind sessions", "behind everything", "inside of geographic"])
@every
def test_whatever_becomes_of_its_members_it_picks_those_that_are_usable(algorithm: str, where: str) -> None:
    """They are drained, ejected, parked and taken out with requests under way, and come back: see life.py."""
    for seed in range(4):
        if where == "alone":
            balancer = create(algorithm)
        elif where == "behind sessions":
            balancer = compose(BalanceSpec(algorithm, sticky=LAYERS.sticky))
        elif where == "behind everything":
            balancer = compose(LAYERS._replace(algorithm=algorithm))
        else:
            balancer = create("geographic", inner="random" if algorithm == "geographic" else algorithm, max_in_flight=3)
        life = Life(balancer, seed)
        for _ in range(200):
            life.step()
        life.finish()
        assert set(life.balancer.explain().get("backends", {})) <= {backend.name for backend in life.members}
        picked = {life.balancer.pick(packed(None, key) if where.startswith("behind") else key) for key in KEYS[:50]}
        assert picked <= set(life.members) if life.members else picked == {None}


@pytest.mark.parametrize("algorithm", ["prequal", "ai_scored"])
@pytest.mark.parametrize(
    "spec", [BalanceSpec(), BalanceSpec(sticky=LAYERS.sticky), LAYERS], ids=["alone", "sticky", "all"]
)
def test_it_can_ask_backends_wherever_it_is(algorithm: str, spec: BalanceSpec) -> None:
    """Compiled, a field that two declarations have is two fields, and the caller would set the other one."""
    probed: list[Backend] = []
    params = {"mode": "fleet"} if algorithm == "ai_scored" else {}
    balancer = compose(spec._replace(algorithm=algorithm, params=params))
    balancer.prober = probed.append
    set_members(balancer, members := backends(1, 1, 1))
    for _ in range(10):
        backend = balancer.pick(packed(None, None) if spec.sticky else None)
        assert backend is not None
        balancer.assigned(backend)
        balancer.tick(1.0)
    assert len(probed) >= 10
    assert set(probed) <= set(members)


@every
def test_the_members_that_were_given_are_not_changed(algorithm: str) -> None:
    balancer = create(algorithm)
    members = backends(1, 2, 3)
    before = [(id(backend), backend.weight, backend.requests, backend.in_flight) for backend in members]
    set_members(balancer, members)
    for key in KEYS[:20]:
        balancer.pick(key)
    assert [(id(b), b.weight, b.requests, b.in_flight) for b in members] == before


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in ONE_AFTER_THE_OTHER])
def test_shares_follow_the_weights(algorithm: str) -> None:
    """A simulation with ten requests in flight for each member."""
    balancer = create(algorithm)
    weights = (1, 2, 3, 4)
    set_members(balancer, backends(*weights))
    counts = passed_through(balancer, most=10 * len(weights))
    for backend_name, weight in zip("abcd", weights, strict=True):
        assert 0.8 * weight / 10 <= counts[backend_name] / 10_000 <= 1.2 * weight / 10


@every
def test_a_pick_allocates_nothing(algorithm: str) -> None:
    balancer = create(algorithm)
    set_members(balancer, backends(5, 1, 1))

    done = Done(0.001)

    def work() -> None:
        for key in KEYS:
            backend = balancer.pick(key)
            assert backend is not None
            balancer.assigned(backend)
            balancer.released(backend, done)

    work()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):  # what is kept is bounded: until it was all made anew
            work()
        before, _ = tracemalloc.get_traced_memory()
        work()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 512, "bytes left behind by 1,000 picks"


# --- the table and classes of one's own -------------------------------------------------------------------


def test_a_class_of_ones_own() -> None:
    balancer = create("tests.balancing.algorithms:LastByKey", offset=1)
    members = backends(1, 1, 1)
    set_members(balancer, members)
    assert balancer.pick(b"\x00") is members[1]


@pytest.mark.parametrize(
    ("algorithm", "params", "said"),
    [
        ("nonsense", {}, "there is no algorithm 'nonsense'; known are round_robin"),
        ("no.such.module:Thing", {}, "No module named 'no'"),
        ("tests.balancing.algorithms:Missing", {}, "has no attribute 'Missing'"),
        ("tests.balancing.algorithms:NotABalancer", {}, "not a subclass of proxy.balancing.base.Balancer"),
        ("tests.balancing.algorithms:backends", {}, "cannot be used"),
        ("tests.balancing.algorithms:LastByKey", {"speed": 9}, "unexpected keyword argument 'speed'"),
        ("round_robin", {"speed": 9}, "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(algorithm: str, params: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match="algorithm") as caught:
        create(algorithm, **params)
    assert said in str(caught.value)
