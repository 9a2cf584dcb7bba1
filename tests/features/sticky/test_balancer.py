"""Session affinity before any algorithm: opaque tokens, the backend of each, and the keys of the algorithm."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.balancing import Balancer, Done, create
from proxy.balancing.compose import BalanceSpec, compose, spare
from proxy.features.sticky.balancer import TOKEN_LENGTH, Sticky, StickySpec, Tokens, packed, row_of, sign
from proxy.scoreboard import DOWN, DRAIN, EJECTED_UNTIL, HEALTH, MAINT, REPORTED_STATE, STATE
from proxy.scoreboard import create as create_board
from proxy.upstream.backend import Backend, BackendSpec

from ...balancing.algorithms import LastByKey
from ...balancing.members import backends, set_members, settle

SPEC = StickySpec("app", (b"a secret that nobody knows",))
STRICT = SPEC._replace(draining=False)


def sticky(members: list[Backend], spec: StickySpec = SPEC, main: Balancer | None = None) -> Sticky:
    balancer = Sticky(main or LastByKey(), spec)
    set_members(balancer, members)
    return balancer


def test_a_token_is_a_signature_of_upstream_and_address() -> None:
    signed = hmac.new(b"secret", b"app\n10.0.0.1:80", hashlib.sha256).digest()[:16]
    found = sign(b"secret", "app", "10.0.0.1:80")
    assert base64.urlsafe_b64decode(found + b"==") == signed
    assert len(found) == TOKEN_LENGTH
    others = {sign(b"other", "app", "10.0.0.1:80"), sign(b"secret", "b", "10.0.0.1:80"), sign(b"secret", "app", "b")}
    assert found not in others
    assert len(others) == 3


def test_tokens_are_made_once_and_forgotten_with_their_backend() -> None:
    """All routes and algorithms of an upstream share them, and nobody has them but the backend."""
    one, other, members = Tokens(SPEC), Tokens(SPEC), backends(1, 1)
    assert one.of(members[0]) is other.of(members[0])
    one.by_token(members)
    assert [list(backend.learned) for backend in members] == [[one.key], [one.key]]
    assert SPEC.secrets[0].decode() not in one.key
    new = Tokens(StickySpec("app", (b"a secret that is new", *SPEC.secrets)))
    assert new.of(members[0]) != one.of(members[0]) == new.accepted(members[0])[1]


def test_a_key_of_before_the_upstream_was_sticky_is_no_token() -> None:
    """Of a request that waited over a reload."""
    main = LastByKey()
    balancer = sticky(backends(1, 1), main=main)
    assert balancer.pick(b"") is None
    assert balancer.candidates(b"") is None
    assert main.keys == [None]


def test_what_was_signed_with_an_older_secret_is_known_still() -> None:
    """Clients are told what the first secret signs."""
    members = backends(1, 1)
    old, new = b"a secret that nobody knows", b"a secret that is new"
    balancer = sticky(members, StickySpec("app", (new, old)))
    before = [sign(old, "app", backend.name) for backend in members]
    assert [balancer.target(token) for token in before] == members
    assert [balancer.tokens.of(backend) for backend in members] == [sign(new, "app", each.name) for each in members]
    set_members(balancer, members[1:], members)
    members[0].rows[STATE] = MAINT
    assert [balancer.target(token) for token in before] == [None, members[1]]
    assert sticky(members, StickySpec("app", (new,))).target(before[1]) is None


def test_without_a_secret_a_backend_is_known_by_its_row() -> None:
    board = create_board(3)
    board.backend_rows("other", "x")
    backend = Backend(BackendSpec("x", "x", 80, ""), board.backend_rows("app", "x"), board)
    assert row_of(backend, "app") == 1
    assert Tokens(StickySpec("app")).of(backend) == b"1"
    alone = Backend(BackendSpec("x", "x", 80, ""))
    assert 0 <= row_of(alone, "app") < 16_384


@given(st.none() | st.binary(min_size=1, max_size=255), st.none() | st.binary(max_size=40))
def test_the_algorithm_gets_its_own_key(token: bytes | None, key: bytes | None) -> None:
    main = LastByKey()
    balancer = sticky(backends(1, 1, 1), main=main)
    picked = balancer.pick(packed(token, key))
    assert main.keys == [key]
    assert (picked is None) is (not key)


def test_a_token_leads_to_its_backend_whatever_the_key() -> None:
    main, members = LastByKey(), backends(1, 2, 3)
    balancer = sticky(members, main=main)
    for backend in members:
        for key in (None, b"", b"k0", b"k1"):
            assert balancer.pick(packed(balancer.tokens.of(backend), key)) is backend
    assert main.keys == []
    assert balancer.pick(None) is None
    assert main.keys == [None]


def test_who_is_not_usable_gets_nothing() -> None:
    members = backends(1, 1, 0)
    balancer = sticky(members, STRICT)
    tokens = [balancer.tokens.of(backend) for backend in members]
    assert balancer.target(tokens[2]) is None
    set_members(balancer, members[1:], members)
    assert [balancer.target(token) for token in tokens] == [None, members[1], None]
    assert balancer.target(b"nonsense") is None


@pytest.mark.parametrize(
    ("cell", "value", "serves"),
    [
        (STATE, DRAIN, True),
        (REPORTED_STATE, DRAIN, True),
        (STATE, MAINT, False),
        (REPORTED_STATE, MAINT, False),
        (HEALTH, DOWN, False),
    ],
)
def test_who_is_leaving_keeps_sessions_only_while_well(cell: int, value: int, serves: bool) -> None:
    members = backends(1, 1)
    balancer = sticky(members)
    token = balancer.tokens.of(members[0])
    members[0].rows[cell] = value
    set_members(balancer, members[1:], members)
    assert (balancer.target(token) is members[0]) is serves
    members[0].rows[cell] = 0
    members[0].rows[EJECTED_UNTIL] = 2_000_000_000
    balancer.tick(1.0)
    assert balancer.target(token) is None
    balancer.tick(2.5)
    assert balancer.target(token) is members[0]


def test_who_is_gone_serves_nobody() -> None:
    members = backends(1, 1)
    balancer = sticky(members)
    token = balancer.tokens.of(members[0])
    set_members(balancer, members[1:])
    assert balancer.target(token) is None


def test_the_algorithm_hears_of_sessions_that_stay_at_who_is_drained_too() -> None:
    """Once that the request began and once that it is over, or what it counts would drift."""
    main, members = LastByKey(), backends(1, 1)
    balancer = sticky(members, main=main)
    set_members(balancer, members[1:], members)
    balancer.assigned(members[0])
    balancer.released(members[0], Done(0.1))
    assert main.events == [("assigned", "a"), ("released", "a")]


def test_whom_a_request_may_go_to_is_for_the_algorithm_to_say() -> None:
    class Reaches(LastByKey):
        def candidates(self, key: bytes | None) -> list[list[Backend]]:
            asked.append(key)
            return [members[:1]]

    asked: list[bytes | None] = []
    members = backends(1, 1)
    balancer = sticky(members, main=Reaches())
    for key in (None, packed(None, None), packed(b"token", None), packed(b"token", b"key"), packed(None, b"")):
        assert balancer.candidates(key) == [members[:1]]
    assert asked == [None, None, None, b"key", b""]


def test_it_stands_before_everything_else() -> None:
    spec = BalanceSpec("consistent_hash", overprovisioning=1.4, sticky=SPEC)
    for balancer in (compose(spec), spare(spec)):
        assert isinstance(balancer, Sticky)
        members = backends(1, 1, 1)
        members[0].spec = members[0].spec._replace(priority=1)
        set_members(balancer, members)
        assert balancer.pick(packed(balancer.tokens.of(members[0]), b"key")) is members[0]
        assert {balancer.pick(packed(None, b"%d" % n)) for n in range(50)} == set(members[1:])
        assert balancer.explain()
    assert not isinstance(compose(BalanceSpec("consistent_hash")), Sticky)


@pytest.mark.parametrize("algorithm", ["round_robin", "power_of_two", "maglev"])
def test_sessions_are_spread_as_the_algorithm_spreads(algorithm: str) -> None:
    """Each client comes ten times and stays, and the algorithm is asked for the first of them only."""
    members = backends(1, 3)
    params = {} if algorithm == "maglev" else {"seed": 7}
    balancer, alone = sticky(members, main=create(algorithm, **params)), create(algorithm, **params)
    settle(alone, members)
    firsts = []
    for client in range(100):
        first = balancer.pick(packed(None, b"%d" % client))
        assert first is not None
        token = balancer.tokens.of(first)
        assert all(balancer.pick(packed(token, b"%d" % n)) is first for n in range(9))
        firsts.append(first)
    assert firsts == [alone.pick(b"%d" % client) for client in range(100)]
    assert 60 <= firsts.count(members[1]) <= 90
