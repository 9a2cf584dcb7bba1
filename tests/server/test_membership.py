"""Who is told of which backends, and whose rows of the board are whose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy import scoreboard
from proxy.configuration.load import load_text
from proxy.configuration.schema import Config
from proxy.control.discovery.base import backend
from proxy.control.health_checks import HealthChecks
from proxy.errors import BindError
from proxy.server.membership import Membership
from tests.support.path import until_true


def config(upstreams: str) -> Config:
    return load_text(f"listeners: [{{bind: ':0'}}]\nroutes: [{{respond: {{}}}}]\nupstreams: {upstreams}\n").config


ONE = config("{app: {backends: [a:80]}}")


class Told(Membership):
    """With a list of what the workers were told."""

    def __init__(self) -> None:
        board = scoreboard.create(2)
        super().__init__(board, HealthChecks(board))
        self.lock = asyncio.Lock()
        self.told: list[list[str]] = []

    async def ask_all(self, kind: str, payload: object) -> None:
        assert kind == "members"
        assert isinstance(payload, dict)
        names = [spec.address for spec in payload["backends"]["app"]]
        assert {f"app\n{name}" for name in names} <= payload["rows"].keys()
        self.told.append(names)

    @property
    def rows(self) -> set[str]:
        return {key.removeprefix("app\n") for key in self.board.backends.rows}

    async def take(self, wanted: Config) -> None:
        async with self.lock, self.taking_up(wanted) as lists:
            for name, backends in lists.items():
                for each in backends:
                    self.board.backends.row(f"{name}\n{each.address}")


@asynccontextmanager
async def told() -> AsyncIterator[Told]:
    made = Told()
    await made.take(ONE)
    handing = asyncio.ensure_future(made.hand_on(made.lock, made.ask_all, dict))
    try:
        yield made
        assert not handing.done()
    finally:
        handing.cancel()
        await asyncio.gather(handing, return_exceptions=True)
        await made.close()


async def test_a_change_is_told_with_its_rows() -> None:
    async with told() as at:
        at.discovery.add("app", backend("b:80"))
        await until_true(lambda: at.told == [["a:80", "b:80"]])
        at.discovery.remove("app", "a:80")
        await until_true(lambda: at.told[1:] == [["b:80"]])


async def test_changes_wait_for_a_reload_to_end() -> None:
    async with told() as at:
        async with at.lock, at.taking_up(config("{app: {backends: [a:80, c:80]}}")) as lists:
            at.discovery.add("app", backend("b:80"))
            assert [spec.address for spec in lists["app"]] == ["a:80", "c:80"]
            for _ in range(20):
                await asyncio.sleep(0)
            assert at.told == []
        await until_true(lambda: at.told == [["a:80", "c:80", "b:80"]])


async def test_a_reload_that_fails_leaves_everything_as_it_was() -> None:
    async with told() as at:
        before = at.lists
        with pytest.raises(BindError, match="no"):
            async with at.taking_up(config("{app: {backends: [z:80]}}")):
                raise BindError("no")
        assert at.lists is before
        at.discovery.add("app", backend("b:80"))
        await until_true(lambda: at.told == [["a:80", "b:80"]])


async def test_a_source_that_cannot_be_made_is_a_reload_that_is_refused() -> None:
    async with told() as at:
        with pytest.raises(BindError, match="no_such:Thing cannot be imported"):
            async with at.taking_up(config("{app: {discover: {source: 'no_such:Thing'}}}")):
                raise AssertionError("not reached")


async def test_rows_of_what_is_gone_are_freed_and_no_others() -> None:
    async with told() as at:
        at.discovery.add("app", backend("b:80"))
        await until_true(lambda: at.told)
        at.free_rows(at.lock)
        assert at.rows == {"a:80", "b:80"}
        at.discovery.remove("app", "a:80")
        await until_true(lambda: len(at.told) == 2)
        async with at.lock:
            at.free_rows(at.lock)
            assert at.rows == {"a:80", "b:80"}
        at.free_rows(at.lock)
        assert at.rows == {"b:80"}


async def test_backends_that_the_board_has_no_rows_for_are_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    async with told() as at:
        at.board.backends.capacity = 2
        for name in "bcd":
            at.discovery.add("app", backend(f"{name}:80"))
        await until_true(lambda: "backends stay as they were: more than 2 backends at a time" in caplog.text)
        assert (at.told, [spec.address for spec in at.lists["app"]]) == ([], ["a:80"])
        at.free_rows(at.lock)
        assert at.rows == {"a:80"}
        at.discovery.remove("app", "c:80")
        at.discovery.remove("app", "d:80")
        await until_true(lambda: at.told == [["a:80", "b:80"]])
