"""Who belongs to an upstream, when the file, a source and operators all have a say."""

from __future__ import annotations

import pytest

from proxy.control.discovery.base import backend
from proxy.control.discovery.members import KnownMembers
from proxy.errors import DiscoveryError
from proxy.upstream.backend import BackendSpec

A, B, C, D = (backend(f"{name}:80") for name in "abcd")
HEAVY_A = backend("a:80", weight=5)


def members_of(*static: BackendSpec) -> KnownMembers:
    members = KnownMembers()
    members.configure(static)
    return members


def test_the_order_is_file_then_source_then_operator() -> None:
    members = members_of(B, A)
    members.add(C, (D,))
    assert members.merged((D,)) == [B, A, D, C]


def test_an_address_is_there_once_and_the_file_goes_before_the_source() -> None:
    assert members_of(A).merged((HEAVY_A, B)) == [A, B]


def test_what_is_there_cannot_be_added() -> None:
    members = members_of(A)
    members.add(C, (B,))
    for spec in (A, B, C):
        with pytest.raises(DiscoveryError, match="is there already"):
            members.add(spec, (B,))


def test_what_is_not_there_cannot_be_removed() -> None:
    members = members_of(A)
    with pytest.raises(DiscoveryError, match="there is no backend x:80; there are: a:80, b:80"):
        members.remove("x:80", (B,))
    members.remove("a:80", ())
    with pytest.raises(DiscoveryError, match="there are: none"):
        members.remove("a:80", ())


def test_whatever_its_origin_a_backend_can_be_removed() -> None:
    members = members_of(A)
    members.add(C, (B,))
    assert [members.remove(spec.address, (B,)) for spec in (A, B, C)] == [A, B, C]
    assert members.merged((B,)) == []
    assert members.merged((B, D)) == [D]


def test_what_was_removed_comes_back_as_it_was_or_otherwise() -> None:
    members = members_of(A)
    members.remove("a:80", ())
    members.add(A, ())
    assert (members.merged(()), members.changes) == ([A], {})
    members.remove("a:80", ())
    members.add(HEAVY_A, ())
    assert members.merged(()) == [HEAVY_A]


def test_changes_survive_a_reload_that_says_the_same() -> None:
    members = members_of(A, B)
    members.remove("a:80", ())
    members.add(C, ())
    members.configure((B, A))
    assert members.merged(()) == [B, C]
    members.configure((A, B, D))
    assert members.merged(()) == [B, D, C]


def test_a_reload_that_says_otherwise_of_a_removed_address_brings_it_back() -> None:
    members = members_of(A)
    members.remove("a:80", ())
    members.configure((HEAVY_A,))
    assert members.merged(()) == [HEAVY_A]


def test_a_removal_is_forgotten_once_the_file_has_dropped_the_address() -> None:
    members = members_of(A, B)
    members.remove("a:80", ())
    members.configure((B,))
    members.configure((A, B))
    assert members.merged(()) == [A, B]


def test_a_reload_that_lists_what_was_added_counts_from_then_on() -> None:
    members = members_of(B)
    members.add(A, ())
    members.configure((B, HEAVY_A))
    assert (members.merged(()), members.changes) == ([B, HEAVY_A], {})
    members.configure((B,))
    assert members.merged(()) == [B]


def test_a_discovered_one_that_was_removed_stays_away_when_it_is_found_again() -> None:
    members = members_of()
    members.remove("a:80", (A,))
    assert members.merged(()) == []
    assert members.merged((A, B)) == [B]


def test_the_preview_is_what_the_reload_brings() -> None:
    members = members_of(A, B)
    members.remove("a:80", ())
    members.add(C, ())
    before = members.merged((D,))
    for static in ((A, B), (HEAVY_A,), (C,), ()):
        other = KnownMembers()
        other.static, other.changes = dict(members.static), dict(members.changes)
        preview = members.preview(static, (D,))
        other.configure(static)
        assert preview == other.merged((D,))
    assert members.merged((D,)) == before


def test_all_priorities_are_members() -> None:
    """Which of them get requests is a matter of balancing: the first, as far as it can."""
    first, second = A._replace(priority=0), B._replace(priority=1)
    assert members_of().merged((first, second)) == [first, second]
