"""Real app servers with the middlewares of proxy/reporting, behind the proxy: in headers, polled and probed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import isnan
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.control.load_polling import LoadPolling
from proxy.metrics import U_PROBES, U_PROBES_ANSWERED
from proxy.server.proxy import Proxy
from proxy.upstream.load.report import LoadReport
from tests.balancing.listening import Listening
from tests.support.path import until_true
from tests.support.running import Running, running, to_backends, unwatched
from tests.support.servers import end, listen, start
from tests.support.service import running as service
from tests.support.service import until

APPS = "tests.support.reporting_apps"
COMMANDS = {
    "uvicorn": ["uvicorn", "--fd={}", "--log-level=warning", f"{APPS}:asgi"],
    "gunicorn": ["gunicorn", "--bind=fd://{}", "--threads=4", "--log-level=warning", f"{APPS}:wsgi"],
}
every = pytest.mark.parametrize("kind", COMMANDS)


@asynccontextmanager
async def serving(kind: str, folder: Path, more: str = "", probes: int = 0) -> AsyncIterator[Running]:
    sock, address = listen("tcp", folder, kind)
    with sock:
        process = start([part.format(sock.fileno()) for part in COMMANDS[kind]], sock)
    try:
        algorithm = f"balance: {{algorithm: 'tests.balancing.listening:Listening', probes: {probes}}}"
        async with running(to_backends(address, more=f"{algorithm}, {more}")) as proxy:
            yield proxy
    finally:
        end(process)


def heard(proxy: Proxy) -> list[LoadReport]:
    return [report for _, report in unwatched(proxy.plan.groups["app"].balancer, Listening).heard]


async def until_heard(proxy: Proxy, wanted: Callable[[LoadReport], bool]) -> LoadReport:
    found: list[LoadReport] = []

    def looked() -> bool:
        found[:] = [report for report in heard(proxy) if wanted(report)]
        return bool(found)

    await until_true(looked)
    return found[0]


@every
async def test_each_response_reports_and_clients_do_not_see_it(kind: str, tmp_path: Path) -> None:
    async with serving(kind, tmp_path) as way, aiohttp.ClientSession(way.url) as client:
        async with client.get("/burn/30") as got:
            assert (got.status, await got.text()) == (200, "ok")
            assert "endpoint-load-metrics" not in got.headers
        (report,) = heard(way.proxy)
        assert 0.03 <= report.cost < 0.06, "CPU seconds, of this request alone"
        assert report.in_flight == 0.0, "the request that is answered counts at the backend, and here no more"
        assert isnan(report.application) if kind == "uvicorn" else report.application == 0.25
        for _ in range(200):  # until a window of the app's is over that had requests in it
            async with client.get("/burn/5"):
                pass
            if heard(way.proxy)[-1].rps > 0 and heard(way.proxy)[-1].latency > 0:
                break
        report = heard(way.proxy)[-1]
        assert report.cpu > 0
        assert report.rps > 0
        assert report.eps == 0
        assert 0 < report.memory < 1
        assert report.latency > 0


@every
async def test_the_load_endpoint_is_for_the_proxy_alone(kind: str, tmp_path: Path) -> None:
    async with serving(kind, tmp_path) as way, aiohttp.ClientSession() as client:
        async with client.get(f"{way.url}/load") as got:
            assert await got.text() == "ok", "the app's own answer"
        address = way.proxy.plan.groups["app"].members.all[0].name
        async with client.get(f"http://{address}/load") as got:
            assert (await got.json())["named_metrics"]["rif"] == 0


@every
async def test_it_can_be_polled(kind: str, tmp_path: Path) -> None:
    poll = "load_reports: {headers: [], poll: {interval: 20ms}}"
    async with serving(kind, tmp_path, poll) as way:
        poller = LoadPolling(way.proxy.board)
        await poller.adopt(way.proxy.plan.specs)
        try:
            report = await until_heard(way.proxy, lambda report: not isnan(report.cpu))
            assert report.in_flight == 0.0
            assert 0 < report.memory < 1
        finally:
            await poller.close()


@pytest.mark.processes
async def test_the_supervisor_polls_and_shows_what_it_learns(tmp_path: Path) -> None:
    """Two workers, one poll; a report in a header and one that was polled are both shown, with their age."""
    sock, address = listen("tcp", tmp_path, "uvicorn")
    with sock:
        process = start([part.format(sock.fileno()) for part in COMMANDS["uvicorn"]], sock)
    poll = "balance: orca_weighted, load_reports: {poll: {interval: 50ms}}"
    yaml = to_backends(address, more=poll) + "access_log: null\nworkers: 2\n"
    try:
        async with service(tmp_path, yaml) as proxy:
            seen: dict[str, Any] = {}

            async def polled() -> bool:
                _, found = await proxy.call("GET", "/upstreams/app")
                seen.update(found["backends"][0]["load"] or {})
                return "cpu" in seen

            await until(polled)
            assert 0 <= seen["seconds"] < 10
            assert seen["in_flight"] == 0.0
            assert "cost" not in seen, "that is told of a request, in its response"
    finally:
        end(process)


@every
async def test_it_can_be_probed(kind: str, tmp_path: Path) -> None:
    probe = "load_reports: {headers: [], probe: {timeout: 5s}}"
    async with serving(kind, tmp_path, probe, probes=1) as way, aiohttp.ClientSession(way.url) as client:
        async with client.get("/") as got:
            assert got.status == 200
        group = way.proxy.plan.groups["app"]
        await until_true(lambda: group.rows[U_PROBES_ANSWERED])
        assert group.rows[U_PROBES] == 1
        assert heard(way.proxy)[0].in_flight in (0.0, 1.0)
        assert group.members.all[0].requests == 1, "a probe is no request"
