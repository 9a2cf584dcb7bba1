"""A source at work: its failures, how long its last answer is kept, and what it may not do to others."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxy.configuration.sections.discover import DiscoverSection
from proxy.control.discovery import watched as watched_module
from proxy.control.discovery.base import Answer, Source, backend
from proxy.control.discovery.watched import WatchedSource
from proxy.errors import DiscoveryError
from proxy.upstream.backend import BackendSpec
from tests.support import PATIENCE
from tests.support.clock import EPOCH, WoundClock
from tests.support.path import until_true

A, B, C = (backend(f"{name}:80") for name in "abc")
DISCOVER = DiscoverSection(source="m:C")


class Script(Source):
    """Yields or raises what it is told, one thing after another; `again` ends the generator between two."""

    def __init__(self, clock: WoundClock, keep: float = math.inf, retry_max: float = 30.0) -> None:
        self.clock = clock
        self.keep = keep
        self.retry_max = retry_max
        self.steps: asyncio.Queue[Any] = asyncio.Queue()
        self.begun = 0
        self.closed = 0

    async def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
        self.begun += 1
        try:
            while True:
                step = await self.steps.get()
                if isinstance(step, BaseException):
                    raise step
                if step == "end":
                    return
                yield step
        finally:
            self.closed += 1


class Stage:
    """A watched script, and what it has told."""

    def __init__(self, **keys: Any) -> None:
        self.clock = WoundClock()
        self.source = Script(self.clock, **keys)
        self.told: list[list[str]] = []
        self.watched = WatchedSource("app", DISCOVER, self.source, self.clock, self._changed)

    def _changed(self, upstream: str) -> None:
        assert upstream == "app"
        self.told.append([spec.address for spec in self.watched.backends])

    async def says(self, *steps: Any) -> None:
        """The source does this, and it has been taken in."""
        for step in steps:
            self.source.steps.put_nowait(step)
        await until_true(self.source.steps.empty)
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def stage(before: tuple[BackendSpec, ...] = (), **keys: Any) -> AsyncIterator[Stage]:
    made = Stage(**keys)
    made.watched.start(before)
    try:
        yield made
    finally:
        await made.watched.close()
        assert made.source.begun == made.source.closed


async def test_a_change_is_told_and_no_change_is_not() -> None:
    async with stage() as at:
        await at.says([A], [A], [A, B], Answer([B, A]), [])
        assert at.told == [["a:80"], ["a:80", "b:80"], ["b:80", "a:80"], []]


async def test_the_same_address_twice_is_one_backend_and_the_first_counts() -> None:
    async with stage() as at:
        await at.says([backend("a:80", weight=2), A, B])
        assert [spec.weight for spec in at.watched.backends] == [2, 1]


async def test_no_more_backends_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_module, "BACKENDS_MAX", 2)
    async with stage() as at:
        await at.says([A, B, C, A])
        assert at.told == [["a:80", "b:80"]]
        assert at.watched.error == "only the first 2 backends are used, 1 more are left out"


async def test_when_it_answered_and_is_asked_again() -> None:
    async with stage() as at:
        assert not at.watched.first.is_set()
        at.clock.time = 7
        await at.says(Answer([A], ttl=20, trouble="half of it"))
        assert at.watched.first.is_set()
        assert (at.watched.answered, at.watched.expires, at.watched.error) == (EPOCH + 7, 27, "half of it")
        await at.says([A])
        assert (at.watched.expires, at.watched.error) == (None, "")


async def test_a_failure_keeps_the_last_answer_for_its_time_and_no_longer() -> None:
    async with stage(keep=100.0) as at:
        await at.says([A])
        at.clock.time = 1000  # how old the answer is does not count, only how long it has been failing
        tries = 0
        while at.clock.time < 1100:
            assert at.watched.backends == (A,)
            await at.says(DiscoveryError("gone"))
            await at.clock.asleep()
            tries += 1
            await at.clock.wind(min(*at.clock.naps, 1100 - at.clock.time, 50.0))
        assert at.told == [["a:80"], []]
        assert tries >= 5
        assert at.watched.error == "gone"


async def test_it_is_tried_again_ever_more_slowly_and_at_once_again_after_an_answer() -> None:
    async with stage(retry_max=8.0) as at:
        at.clock.chance = 1.0
        pauses = []
        for _ in range(5):
            await at.says(DiscoveryError("no"))
            await at.clock.asleep()
            pauses += at.clock.naps
            await at.clock.wind(at.clock.naps[0])
        assert pauses == [1, 2, 4, 8, 8]
        await at.says([A], DiscoveryError("no"))
        await at.clock.asleep()
        assert at.clock.naps == [1]


async def test_pauses_differ_so_that_many_proxies_do_not_ask_together() -> None:
    async with stage() as at:
        await at.says(DiscoveryError("no"))
        await at.clock.asleep()
        assert at.clock.naps == [0.5]


async def test_an_answer_after_failures_starts_the_time_anew() -> None:
    async with stage(keep=100.0) as at:
        for begin in (0.0, 1000.0):
            at.clock.time = begin
            await at.says([A], DiscoveryError("no"))
            await at.clock.asleep()
            assert at.watched.failing_since == begin
            await at.clock.wind(1)
        assert at.told == [["a:80"]]


async def test_backends_of_the_source_before_stay_until_this_one_answers() -> None:
    async with stage(before=(A,)) as at:
        assert at.watched.backends == (A,)
        await at.says(DiscoveryError("not yet"))
        assert (at.told, at.watched.backends) == ([], (A,))
        await at.clock.asleep()
        await at.clock.wind(1)
        await at.says([B])
        assert at.told == [["b:80"]]


async def test_backends_of_the_source_before_do_not_stay_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched_module, "FOREIGN_KEEP", 0.2)
    async with stage(before=(A,), keep=math.inf) as at:
        await at.says(DiscoveryError("never"))
        await at.clock.asleep()
        assert at.clock.naps == [0.2]
        await at.clock.wind(0.2)
        await until_true(lambda: at.told == [[]])


async def test_a_source_may_raise_anything(caplog: pytest.LogCaptureFixture) -> None:
    async with stage() as at:
        for _ in range(2):
            await at.says([A], ZeroDivisionError("by zero"))
            assert at.watched.error == "ZeroDivisionError: by zero"
            await at.clock.asleep()
            await at.clock.wind(1)
        assert at.watched.backends == (A,)
    assert any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("wrong", [None, 7, "a:80", ["a:80"], [None], Answer(["a:80"])])  # type: ignore[list-item]
async def test_what_is_no_answer_is_a_failure_and_changes_nothing(wrong: object) -> None:
    async with stage() as at:
        await at.says([A], wrong)
        assert at.watched.backends == (A,)
        assert "must yield an Answer" in at.watched.error


async def test_a_source_that_ends_has_said_its_last() -> None:
    async with stage() as at:
        await at.says([A], "end")
        assert at.watched.task is not None
        await at.watched.task
        assert at.watched.backends == (A,)


async def test_a_source_that_never_waits_leaves_the_loop_to_others() -> None:
    class Eager(Source):
        async def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
            while True:
                yield [A]

    eager = WatchedSource("app", DISCOVER, Eager(), WoundClock(), lambda name: None)
    eager.start()
    await asyncio.wait_for(eager.first.wait(), PATIENCE)
    await eager.close()


async def test_trouble_is_logged_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with stage() as at:
        for _ in range(3):
            await at.says(DiscoveryError("no"))
            await at.clock.asleep()
            await at.clock.wind(at.clock.naps[0])
        await at.says([A], [A])
    words = [record.getMessage() for record in caplog.records if record.name == "qantara"]
    assert words == ["upstream app: source: no", "upstream app: source: answers again"]
