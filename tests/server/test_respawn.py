"""Which places are filled anew, and how fast; the processes themselves are tested in e2e/test_processes.py."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.errors import BindError
from proxy.server.respawn import MOST_PAUSE, Respawn


class Processes:
    """Stands for the workers: who serves in which place, and how many processes were started."""

    def __init__(self, *places: int) -> None:
        self.places = set(places)
        self.spares = 0

    def serving(self) -> dict[int, object]:
        return dict.fromkeys(self.places)

    def add_spare(self) -> None:
        self.spares += 1


class Dead:
    def __init__(self, index: int, since: float = 0.0) -> None:
        self.index = index
        self.since = since


def made(processes: Any, wanted: int, refusals: int = 0) -> tuple[Respawn, list[int]]:
    filled: list[int] = []
    left = [BindError("no")] * refusals

    async def fill(index: int) -> None:
        if left:
            raise left.pop()
        filled.append(index)
        processes.places.add(index)

    return Respawn(processes, lambda: wanted, fill), filled


async def until_done(found: Respawn) -> None:
    while found.under_way:
        await asyncio.gather(*found.under_way.values())


async def test_a_dead_worker_is_replaced_by_a_process_that_starts_at_once() -> None:
    processes = Processes(0)
    found, filled = made(processes, 2)
    dead: Any = Dead(1)
    found.on_death(dead)
    assert processes.spares == 1
    await until_done(found)
    assert filled == [1]


async def test_a_place_that_nobody_wants_stays_empty() -> None:
    processes = Processes(0)
    found, filled = made(processes, 1)
    dead: Any = Dead(1)
    found.on_death(dead)
    found.look()
    assert (processes.spares, filled, found.under_way) == (0, [], {})


async def test_every_empty_place_is_filled_once() -> None:
    found, filled = made(Processes(1), 3)
    found.look()
    found.look()
    await until_done(found)
    assert sorted(filled) == [0, 2]


async def test_those_that_keep_dying_are_started_ever_more_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def slept(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", slept)
    found, filled = made(Processes(), 1, refusals=8)
    found.look()
    await until_done(found)
    assert filled == [0]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, MOST_PAUSE, MOST_PAUSE]


async def test_closed_it_fills_none() -> None:
    found, filled = made(Processes(), 2)
    found.look()
    await found.close()
    assert filled == []
