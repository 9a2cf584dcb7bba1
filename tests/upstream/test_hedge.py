"""When a request is due for a second try: the line, its timer, and the delay that is learned."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic

import pytest

from proxy.metrics import Histogram
from proxy.upstream.hedge import LEARN, MAX_DELAY, SAMPLES, Hedger, HedgeSpec
from tests.support import PATIENCE


@dataclass
class Request:
    serial: int = 1


class Stage:
    def __init__(self) -> None:
        self.hedged: list[Request] = []
        self.some = asyncio.Event()

    def hedge(self, x: Request) -> None:
        self.hedged.append(x)
        self.some.set()


def learned(spec: HedgeSpec = HedgeSpec(), won: int = 0, **micros: int) -> Hedger:  # noqa: B008
    """A hedger that has seen so many responses of so many microseconds ("n100=5": 5 of 100 µs)."""
    histogram = Histogram()
    hedger = Hedger(spec, histogram.cells)
    for name, count in micros.items():
        for _ in range(count):
            histogram.observe(int(name[1:]) / 1e6)
    hedger.won = won
    hedger.tick(LEARN)
    return hedger


async def test_who_waits_too_long_is_due_and_who_was_answered_is_not() -> None:
    hedger, stage = Hedger(HedgeSpec(delay=0.02), [0]), Stage()
    answered, waits = Request(), Request()
    for each in (answered, waits):
        hedger.watch(each, monotonic(), stage)
    answered.serial += 1
    await stage.some.wait()
    assert stage.hedged == [waits]
    assert not hedger.sent
    assert hedger.timer is None


async def test_one_timer_serves_all() -> None:
    hedger, stage = Hedger(HedgeSpec(delay=0.02), [0]), Stage()
    requests = [Request() for _ in range(100)]
    hedger.watch(requests[0], monotonic(), stage)
    timer = hedger.timer
    for each in requests[1:]:
        hedger.watch(each, monotonic(), stage)
    assert hedger.timer is timer
    async with asyncio.timeout(PATIENCE):
        while len(stage.hedged) < 100:
            stage.some.clear()
            await stage.some.wait()
    assert stage.hedged == requests


async def test_until_the_delay_is_known_nothing_is_hedged() -> None:
    hedger = learned(n1000=SAMPLES - 1)
    hedger.watch(Request(), 0.0, Stage())
    assert (hedger.delay, len(hedger.sent)) == (0.0, 0)


def test_the_delay_is_the_percentile_of_what_was_seen() -> None:
    assert learned(n2000=94, n100000=6).delay == pytest.approx(0.1, rel=0.25)
    assert learned(n2000=96, n100000=4).delay == pytest.approx(0.002, rel=0.25)
    assert learned(HedgeSpec(quantile=0.5), n2000=60, n100000=40).delay == pytest.approx(0.002, rel=0.25)


def test_hedges_that_win_do_not_make_the_delay_ever_shorter() -> None:
    """Their first tries would have taken longer than anything that is seen."""
    assert learned(n2000=96, n50000=4, won=4).delay == pytest.approx(0.05, rel=0.25)


def test_the_delay_has_bounds_and_follows_what_was_seen_lately() -> None:
    assert learned(n10=100).delay == 0.001
    assert learned(n60000000=100).delay == MAX_DELAY
    hedger = learned(n2000=100)
    histogram = Histogram(hedger.cells)
    for _ in range(100):
        histogram.observe(0.3)
    hedger.tick(LEARN + 1.0)
    assert hedger.delay == pytest.approx(0.002, rel=0.25)
    hedger.tick(2 * LEARN)
    assert hedger.delay == pytest.approx(0.3, rel=0.25)


def test_a_delay_that_was_said_is_not_learned() -> None:
    assert learned(HedgeSpec(delay=0.05), n2000=100).delay == 0.05
