"""Polling against a real server: what reaches the scoreboard, what does not, and what ends it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import isnan
from pathlib import Path

import pytest
from aiohttp import web

from proxy.control.load_polling import LoadPolling
from proxy.scoreboard import REPORT_AT, create
from proxy.upstream.backend import BackendSpec
from proxy.upstream.load.report import LoadReport
from proxy.upstream.load.sources import PollSpec, ReportSpec, read
from proxy.upstream.spec import GroupSpec
from tests.support.path import until_true

FAST = PollSpec(interval=0.01, timeout=0.5)


class App:
    """A load endpoint whose answer the test decides."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"cpu_utilization": 0.5}'
        self.headers: dict[str, str] = {}
        self.asked: list[web.BaseRequest] = []
        self.spec = BackendSpec("", "", 0, "")

    async def answer(self, asked: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(asked)
        return web.Response(status=self.status, body=self.body, headers=self.headers)


@asynccontextmanager
async def serving(path: str = "") -> AsyncIterator[App]:
    app = App()
    runner = web.ServerRunner(web.Server(app.answer))
    await runner.setup()
    site: web.BaseSite = web.UnixSite(runner, path) if path else web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = 0 if path else runner.addresses[0][1]
    app.spec = BackendSpec(f"unix:{path}" if path else f"127.0.0.1:{port}", "" if path else "127.0.0.1", port, path)
    try:
        yield app
    finally:
        await runner.cleanup()


def specs(*backends: BackendSpec, poll: PollSpec | None = FAST) -> dict[str, GroupSpec]:
    return {"app": GroupSpec("app", backends, None, reports=ReportSpec(poll=poll))}


@asynccontextmanager
async def polled(*backends: BackendSpec, poll: PollSpec = FAST) -> AsyncIterator[LoadPolling]:
    polling = LoadPolling(create(2))
    await polling.adopt(specs(*backends, poll=poll))
    try:
        yield polling
    finally:
        await polling.close()


def reported(polling: LoadPolling, backend: BackendSpec) -> LoadReport | None:
    return read(polling.board.backend_rows("app", backend.address))


async def until_cpu(polling: LoadPolling, backend: BackendSpec, cpu: float) -> LoadReport:
    await until_true(lambda: (found := reported(polling, backend)) is not None and found.cpu == cpu)
    found = reported(polling, backend)
    assert found is not None
    return found


async def test_what_is_answered_is_on_the_board() -> None:
    async with serving() as app, polled(app.spec) as polling:
        report = await until_cpu(polling, app.spec, 0.5)
        assert isnan(report.memory)
        app.body = b"cpu_utilization=0.25, mem_utilization=0.125, named_metrics.rif=7"
        report = await until_cpu(polling, app.spec, 0.25)
        assert (report.memory, report.in_flight) == (0.125, 7.0)
        app.headers = {"endpoint-load-metrics": "TEXT cpu_utilization=0.75"}
        await until_cpu(polling, app.spec, 0.75)
        asked = app.asked[0]
        assert (asked.method, asked.path, asked.headers["User-Agent"]) == ("GET", "/load", "qantara-load-poll")


async def test_how_it_asks() -> None:
    poll = FAST._replace(path="/deep/load?a=b", method="POST", headers=(("X-Token", "t"),))
    async with serving() as app, polled(app.spec, poll=poll) as polling:
        await until_cpu(polling, app.spec, 0.5)
        asked = app.asked[0]
        assert (asked.method, asked.path_qs, asked.headers["X-Token"]) == ("POST", "/deep/load?a=b", "t")


async def test_another_port_and_a_unix_socket(tmp_path: Path) -> None:
    async with serving() as app, serving(str(tmp_path / "load.sock")) as other:
        elsewhere = BackendSpec("127.0.0.1:1", "127.0.0.1", 1, "")
        async with polled(elsewhere, poll=FAST._replace(port=app.spec.port)) as polling:
            await until_cpu(polling, elsewhere, 0.5)
        async with polled(other.spec) as polling:
            await until_cpu(polling, other.spec, 0.5)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b'{"cpu_utilization": 0.9}', "status 503, expected 200"),
        (200, b"nonsense", "the answer is no load report"),
        (200, b'{"cpu_utilization": -1}', "the answer is no load report"),
        (200, b" " * 9000, "the answer is no load report"),
    ],
)
async def test_a_bad_answer_changes_nothing_and_is_told_once(
    status: int, body: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving() as app, polled(app.spec) as polling:
        await until_cpu(polling, app.spec, 0.5)
        good, app.status, app.body = app.body, status, body
        target = polling.targets["app", app.spec.address]
        await until_true(lambda: target.wrong == said)
        at = polling.board.backend_rows("app", app.spec.address)[REPORT_AT]
        polls = len(app.asked)
        await until_true(lambda: len(app.asked) > polls + 3)
        assert polling.board.backend_rows("app", app.spec.address)[REPORT_AT] == at
        app.status, app.body = 200, good
        await until_true(lambda: not target.wrong)
    told = [record.getMessage() for record in caplog.records if "polled" in record.getMessage()]
    assert len(told) == 2
    assert said in told[0]


async def test_who_is_dropped_is_forgotten_and_who_stays_goes_on() -> None:
    async with serving() as app, serving() as other, polled(app.spec, other.spec) as polling:
        await until_cpu(polling, app.spec, 0.5)
        await until_cpu(polling, other.spec, 0.5)
        task = polling.targets["app", app.spec.address].task
        await polling.adopt(specs(app.spec))
        assert polling.targets["app", app.spec.address].task is task
        assert list(polling.targets) == [("app", app.spec.address)]
        assert reported(polling, other.spec) is None
        await polling.adopt(specs(app.spec, poll=None))
        assert polling.targets == {}
        assert reported(polling, app.spec) is None


async def test_a_change_of_settings_keeps_what_is_known() -> None:
    async with serving() as app, polled(app.spec) as polling:
        await until_cpu(polling, app.spec, 0.5)
        await polling.adopt(specs(app.spec, poll=FAST._replace(path="/other", interval=60.0)))
        assert reported(polling, app.spec) is not None
