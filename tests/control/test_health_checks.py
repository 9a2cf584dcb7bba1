"""Active checks against real servers: what is good, what is wrong in which words, and what the board says then."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from proxy.control.health_checks import BODY_MAX, RECORDS, HealthChecks, begin_of
from proxy.scoreboard import DOWN, DRAIN, HEALTH, REPORTED_STATE, REPORTED_WEIGHT, SINCE, UP, create
from proxy.upstream.backend import BackendSpec
from proxy.upstream.health import HealthSpec
from proxy.upstream.spec import GroupSpec
from tests.support.origin import Origin, never, request
from tests.support.path import until_true

FAST = HealthSpec(interval=0.02, fast_interval=0.01, timeout=0.5, fall=2, rise=2)


class App:
    """A server whose answer the test decides."""

    def __init__(self) -> None:
        self.status = 200
        self.body = "fine"
        self.headers: dict[str, str] = {}
        self.asked: list[web.BaseRequest] = []
        self.spec = BackendSpec("", "", 0, "")

    async def answer(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(asked)
        return web.Response(status=self.status, text=self.body, headers=self.headers)


@asynccontextmanager
async def serving(path: str = "") -> AsyncIterator[App]:
    app = App()
    runner = web.ServerRunner(web.Server(app.answer))
    await runner.setup()
    site: web.BaseSite = web.UnixSite(runner, path) if path else web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    if path:
        app.spec = BackendSpec(f"unix:{path}", "", 0, path)
    else:
        port = runner.addresses[0][1]
        app.spec = BackendSpec(f"127.0.0.1:{port}", "127.0.0.1", port, "")
    try:
        yield app
    finally:
        await runner.cleanup()


class Watched:
    def __init__(self, checks: HealthChecks, backend: BackendSpec) -> None:
        self.checks = checks
        self.rows = checks.board.backend_rows("app", backend.address)
        self.target = checks.targets["app", backend.address]

    @property
    def said(self) -> str:
        return self.target.records[-1].wrong if self.target.records else "nothing yet"

    async def until(self, cell: int, value: int) -> None:
        await until_true(lambda: self.rows[cell] == value)

    async def until_said(self, pattern: str) -> None:
        await until_true(lambda: re.search(pattern, self.said))


@asynccontextmanager
async def watching(backend: BackendSpec, spec: HealthSpec = FAST) -> AsyncIterator[Watched]:
    checks = HealthChecks(create(2))
    await checks.adopt({"app": GroupSpec("app", (backend,), None, health=spec)})
    try:
        yield Watched(checks, backend)
    finally:
        await checks.close()


async def test_a_backend_goes_down_and_comes_back() -> None:
    async with serving() as app, watching(app.spec) as watched:
        await watched.until(HEALTH, UP)
        epoch = watched.checks.board.epoch()
        app.status = 503
        await watched.until(HEALTH, DOWN)
        assert watched.checks.board.epoch() != epoch
        assert watched.said == "status 503, expected 200-399"
        app.status = 200
        await watched.until(HEALTH, UP)
        assert watched.rows[SINCE] > 0  # slow start begins here
        await until_true(lambda: len(watched.target.records) == RECORDS)


async def test_at_the_start_nothing_starts_slowly() -> None:
    async with serving() as app, watching(app.spec) as watched:
        await watched.until(HEALTH, UP)
        assert watched.rows[SINCE] == 0


async def test_what_is_asked(tmp_path: Path) -> None:
    spec = FAST._replace(method="HEAD", path="/up?x=1", headers=(("Host", "app.example"), ("X-Check", "1")))
    async with serving(str(tmp_path / "s")) as app, watching(app.spec, spec) as watched:
        await watched.until(HEALTH, UP)
        asked = app.asked[0]
        assert (asked.method, asked.raw_path) == ("HEAD", "/up?x=1")
        assert (asked.headers["Host"], asked.headers["X-Check"]) == ("app.example", "1")
        assert asked.headers["User-Agent"] == "qantara-health-check"


async def test_another_port() -> None:
    async with serving() as app:
        backend = app.spec._replace(address="127.0.0.1:1", port=1)
        async with watching(backend, FAST._replace(port=app.spec.port)) as watched:
            await watched.until(HEALTH, UP)


def set_status(app: App) -> None:
    app.status = 302


def set_body(app: App) -> None:
    app.body = "all is bad"


@pytest.mark.parametrize(
    ("change", "spec", "said"),
    [
        (set_status, FAST._replace(statuses=((200, 204), (418, 418))), "status 302, expected 200-204, 418"),
        (set_body, FAST._replace(body=re.compile("is good$")), "the body does not match 'is good$'"),
    ],
)
async def test_an_answer_that_is_not_as_expected(change: Callable[[App], None], spec: HealthSpec, said: str) -> None:
    async with serving() as app, watching(app.spec, spec) as watched:
        change(app)
        await watched.until(HEALTH, DOWN)
        assert watched.said == said


async def test_nobody_there() -> None:
    async with Origin() as origin:
        address = origin.address
    backend = BackendSpec(address, "127.0.0.1", int(address.rpartition(":")[2]), "")
    for kind in ("http", "tcp"):
        async with watching(backend, FAST._replace(kind=kind)) as watched:
            await watched.until(HEALTH, DOWN)
            assert "refused" in watched.said.lower() or "connect" in watched.said.lower()


async def test_a_backend_that_never_answers_times_out_and_holds_up_nobody() -> None:
    async with Origin([request(), never]) as hanging, serving() as app:
        backend = BackendSpec(hanging.address, "127.0.0.1", int(hanging.address.rpartition(":")[2]), "")
        checks = HealthChecks(create(2))
        spec = FAST._replace(timeout=0.2)
        await checks.adopt({"app": GroupSpec("app", (backend, app.spec), None, health=spec)})
        slow, good = Watched(checks, backend), Watched(checks, app.spec)
        await slow.until_said("timed out after 0.2 s")
        await slow.until(HEALTH, DOWN)
        assert len(app.asked) > 5
        assert good.rows[HEALTH] == UP
        await checks.close()


async def test_a_connection_is_enough_for_tcp() -> None:
    async with Origin([never]) as origin:
        backend = BackendSpec(origin.address, "127.0.0.1", int(origin.address.rpartition(":")[2]), "")
        async with watching(backend, FAST._replace(kind="tcp")) as watched:
            await watched.until(HEALTH, UP)


@pytest.mark.parametrize("answer", [b"\x00\xff garbage\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b""])
async def test_an_answer_that_is_none(answer: bytes) -> None:
    """Checked with a body wanted, so that one that is cut off is seen."""
    async with Origin([request(), answer]) as origin:
        backend = BackendSpec(origin.address, "127.0.0.1", int(origin.address.rpartition(":")[2]), "")
        async with watching(backend, FAST._replace(body=re.compile("x"))) as watched:
            await watched.until(HEALTH, DOWN)
            assert watched.said


async def test_what_the_backend_says_of_itself_counts() -> None:
    async with serving() as app, watching(app.spec) as watched:
        app.headers = {"X-Backend-State": "drain, 30%"}
        await watched.until(REPORTED_STATE, DRAIN)
        assert watched.rows[REPORTED_WEIGHT] == 31
        app.headers = {"X-Backend-State": "nonsense"}
        await watched.until(REPORTED_STATE, 0)
        assert watched.rows[REPORTED_WEIGHT] == 0


async def test_unless_that_is_not_wanted() -> None:
    async with serving() as app:
        app.headers = {"X-Backend-State": "maint"}
        async with watching(app.spec, FAST._replace(reported=False)) as watched:
            await watched.until(HEALTH, UP)
            assert watched.rows[REPORTED_STATE] == 0


async def test_down_until_the_first_good_check() -> None:
    async with serving() as app:
        app.status = 500
        async with watching(app.spec, FAST._replace(initial_up=False)) as watched:
            assert watched.rows[HEALTH] == DOWN
            await watched.until_said("status 500")
            assert watched.rows[HEALTH] == DOWN


async def test_a_reload_keeps_what_is_known_and_forgets_who_is_gone() -> None:
    async with serving() as app, watching(app.spec) as watched:
        app.status = 500
        await watched.until(HEALTH, DOWN)
        checks, target = watched.checks, watched.target
        same = {"app": GroupSpec("app", (app.spec,), None, health=FAST)}
        await checks.adopt(same)
        assert checks.targets["app", app.spec.address] is target
        await checks.adopt({"app": same["app"]._replace(health=FAST._replace(fall=9))})
        assert checks.targets["app", app.spec.address] is not target
        assert watched.rows[HEALTH] == DOWN
        await checks.adopt({"app": same["app"]._replace(health=None)})
        assert watched.rows[HEALTH] == 0
        assert checks.targets == {}
        await asyncio.sleep(0)


class Pieces:
    """A body that comes in pieces: a read gives what is there, however much is asked for."""

    def __init__(self, *pieces: bytes) -> None:
        self.content = self
        self.pieces = list(pieces)

    async def read(self, most: int) -> bytes:
        return self.pieces.pop(0)[:most] if self.pieces else b""


async def test_a_body_that_comes_in_pieces_is_looked_at_as_a_whole() -> None:
    assert await begin_of(Pieces(b"status", b": okay")) == b"status: okay"  # type: ignore[arg-type]
    assert len(await begin_of(Pieces(*[b"x" * 50_000] * 9))) == BODY_MAX  # type: ignore[arg-type]
