"""Panic is a matter of each priority: Envoy's table, and what is used then."""

from __future__ import annotations

import pytest

from proxy.scoreboard import EJECTED_FOR, EJECTED_UNTIL
from proxy.upstream.backend import Backend, BackendSpec
from proxy.upstream.outlier import CONNECT
from proxy.upstream.panic import in_panic, usable_of

NOW = 10**9


def levels(*healthy: int, of: int = 100) -> list[tuple[int, bool]]:
    return [(priority, n < count) for priority, count in enumerate(healthy) for n in range(of)]


@pytest.mark.parametrize(
    ("healthy", "panicking"),
    [
        ((100,), set()),
        ((50,), set()),
        ((49,), {0}),
        ((0,), {0}),
        ((72, 72), set()),
        ((71, 71), set()),
        ((50, 60), set()),
        ((25, 100), set()),
        ((0, 100), set()),
        ((0, 72), set()),
        ((25, 25), {0, 1}),
        ((5, 65), {0}),
        ((0, 0), {0, 1}),
        ((25, 25, 20), {0, 1, 2}),
        ((25, 25, 100), set()),
    ],
)
def test_the_table(healthy: tuple[int, ...], panicking: set[int]) -> None:
    assert in_panic(levels(*healthy), 0.5, 1.4) == panicking


def test_with_a_threshold_of_none_there_is_none() -> None:
    assert in_panic(levels(0, 0), 0.0, 1.4) == set()
    assert in_panic([], 0.5, 1.4) == set()


def test_a_single_priority_goes_by_its_threshold_alone() -> None:
    assert in_panic(levels(85), 0.9, 1.4) == {0}


def members(*priorities: int) -> list[Backend]:
    return [Backend(BackendSpec(f"b{n}:1", "b", n, "", priority=each)) for n, each in enumerate(priorities)]


def refuse(backend: Backend) -> None:
    backend.healthy = False
    backend.rows[EJECTED_UNTIL], backend.rows[EJECTED_FOR] = NOW + 10**9, CONNECT


def test_where_there_is_panic_all_are_used_but_those_that_refuse() -> None:
    a, b, c, d, e = everyone = members(0, 0, 0, 1, 1)
    a.healthy = d.healthy = False
    refuse(b)
    assert usable_of(everyone, frozenset((0,)), NOW) == [a, c, e]
    assert usable_of(everyone, frozenset(), NOW) == [c, e]
    assert usable_of(everyone, frozenset((0, 1)), NOW) == [a, c, d, e]


def test_if_all_of_a_priority_refuse_all_are_tried() -> None:
    a, b, c = everyone = members(0, 0, 1)
    refuse(a)
    refuse(b)
    assert usable_of(everyone, frozenset((0,)), NOW) == [a, b, c]
