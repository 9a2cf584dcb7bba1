"""Chaos experiments on a proxy with workers: started by the admin API, met by requests, ended by whatever ends them."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import connect
from tests.support.origin import Origin, Script, request, response
from tests.support.path import GET, made
from tests.support.service import Running, running, until

pytestmark = pytest.mark.processes

OK: Script = [request(), response(b"ok")]
ABORT = {"name": "stop", "fault": "abort", "stage": "admit", "status": 418}


def yaml(origin: Origin, folder: Path, more: str = "", limits: str = "") -> str:
    return (
        f"upstreams: {{app: {{backends: ['{origin.address}', '127.0.0.1:1'], {more}}}}}\nroutes: [{{upstream: app}}]\n"
        f"access_log: null\nworkers: 2\n"
        f"chaos: {{enabled: true, environment: test, audit: '{folder}/audit.jsonl', i_understand: true,"
        f" limits: {{traffic: 100%, cool_down: 0s, min_healthy: 0%, error_rate: 100%, {limits}}}}}\n"
    )


async def asked(service: Running, times: int = 12) -> set[tuple[int, str]]:
    """What new clients get: each on a connection of its own, so that all workers are asked."""
    found = set()
    for _ in range(times):
        async with connect(service.address) as client:
            found.add(made(await client.request(GET)))
    return found


async def start(service: Running, rule: dict[str, Any], **more: Any) -> dict[str, Any]:
    status, told = await service.call("POST", "/chaos/experiments", {"rule": rule, "dry_run": False, **more})
    assert status == 201, told
    return dict(told)


async def test_an_experiment_is_met_in_all_workers_and_stopped_at_once(tmp_path: Path) -> None:
    async with Origin(OK, forever=True) as origin, running(tmp_path, yaml(origin, tmp_path), tcp=True) as service:
        assert await asked(service) == {(200, "")}
        run = await start(service, ABORT)
        assert await asked(service) == {(418, "admit.chaos")}
        status, told = await service.call("GET", "/chaos")
        assert status == 200
        assert [each["run"] for each in told["running"]] == [run["run"]]
        assert told["tallies"][run["run"]]["struck"] == 12
        assert await service.call("DELETE", "/chaos") == (200, {"stopped": 1})
        assert await asked(service) == {(200, "")}
        _, records = await service.call("GET", "/chaos/audit?last=2")
        assert [record["event"] for record in records] == ["start", "end"]
        assert records[1]["verdict"] == "stopped"


@pytest.mark.parametrize("patient", [False, True], ids=["clients leave", "clients wait"])
async def test_a_black_hole_that_takes_everything_does_not_pass(tmp_path: Path, patient: bool) -> None:
    async with Origin(OK, forever=True) as origin, AsyncExitStack() as stack:
        text = yaml(origin, tmp_path, limits="within: 1s").replace("error_rate: 100%", "error_rate: 1%")
        service = await stack.enter_async_context(running(tmp_path, text, tcp=True))
        await start(service, {"name": "hole", "fault": "black_hole", "stage": "admit"})
        end: dict[str, Any] = {}

        async def over() -> bool:
            client = await stack.enter_async_context(connect(service.address))
            await client.send(GET)
            if not patient:
                client.reset()
            _, (last,) = await service.call("GET", "/chaos/audit?last=1")
            end.update(last)
            return bool(last["event"] == "end")

        await until(over)
        assert end["verdict"] == "stopped"
        assert "100.00% errors" in end["why"]
        assert (end["after"]["requests"], end["after"]["gone"] > 0) == (end["after"]["gone"], not patient)


async def test_what_may_not_run_is_refused_with_every_reason(tmp_path: Path) -> None:
    async with Origin(OK, forever=True) as origin:
        text = yaml(origin, tmp_path).replace("environment: test", "environment: production")
        async with running(tmp_path, text.replace("i_understand: true", "i_understand: false"), tcp=True) as service:
            status, told = await service.call("POST", "/chaos/experiments", {"rule": ABORT, "dry_run": False})
            assert status == 409
            assert len(told["refusals"]) >= 2
            assert "production" in told["detail"]
            for body, words in (
                ({}, "either name"),
                ({"rule": {"name": "x", "fault": "nonsense"}}, "fault"),
                ({"rule": ABORT | {"stage": "relay"}, "seed": -1}, "seed"),
                ({"rule": ABORT, "colour": "red"}, "colour"),
            ):
                status, told = await service.call("POST", "/chaos/experiments", body)
                assert status == 400, told
                assert words in told["detail"]
            assert await asked(service) == {(200, "")}


async def test_the_rules_outlive_a_reload_and_reach_a_worker_that_is_started_later(tmp_path: Path) -> None:
    async with Origin(OK, forever=True) as origin, running(tmp_path, yaml(origin, tmp_path), tcp=True) as service:
        await start(service, ABORT)
        assert (await service.reload(yaml(origin, tmp_path)))["ok"]
        assert await asked(service) == {(418, "admit.chaos")}
        before = await service.workers()
        os.kill(before[1], signal.SIGKILL)

        async def replaced() -> bool:
            return (await service.workers()).get(1, before[1]) != before[1]

        await until(replaced)
        assert await asked(service) == {(418, "admit.chaos")}


async def test_a_reload_that_turns_chaos_off_ends_it(tmp_path: Path) -> None:
    async with Origin(OK, forever=True) as origin, running(tmp_path, yaml(origin, tmp_path), tcp=True) as service:
        await start(service, ABORT)
        assert (await service.reload(yaml(origin, tmp_path).replace("enabled: true", "enabled: false")))["ok"]
        assert await asked(service) == {(200, "")}


async def test_without_a_supervisor_the_rules_end_by_themselves(tmp_path: Path) -> None:
    """The dead man's switch."""
    async with Origin(OK, forever=True) as origin, AsyncExitStack() as stack:
        service = await stack.enter_async_context(running(tmp_path, yaml(origin, tmp_path), tcp=True))
        workers = await service.workers()
        client = await stack.enter_async_context(connect(service.address))
        await start(service, ABORT | {"duration": "2s"})
        os.kill((await service.status())["pid"], signal.SIGKILL)
        assert made(await client.request(GET)) == (418, "admit.chaos")

        async def over() -> bool:
            return made(await client.request(GET)) == (200, "")

        await until(over)
        for pid in workers.values():
            os.kill(pid, 0)


async def test_a_worker_is_killed_and_replaced_and_the_last_one_never(tmp_path: Path) -> None:
    async with Origin(OK, forever=True) as origin, running(tmp_path, yaml(origin, tmp_path), tcp=True) as service:
        before = await service.workers()
        await start(service, {"name": "kill", "fault": "worker_kill"})

        async def replaced() -> bool:
            now = await service.workers()
            return len(now) == 2 and sum(now[slot] != before[slot] for slot in now) == 1

        await until(replaced)
        await service.call("DELETE", "/chaos")
        assert (await service.reload(yaml(origin, tmp_path).replace("workers: 2", "workers: 1")))["ok"]
        await until(lambda: True)
        status, told = await service.call(
            "POST", "/chaos/experiments", {"rule": {"name": "kill", "fault": "worker_kill"}, "dry_run": False}
        )
        assert (status, "last worker" in told["detail"]) == (409, True)


async def test_checks_lie_about_a_backend_while_an_experiment_goes_on(tmp_path: Path) -> None:
    more = "health: {type: tcp, interval: 100ms, fast_interval: 100ms, fall: 2, rise: 1, timeout: 2s}"
    async with Origin(OK, forever=True) as origin, AsyncExitStack() as stack:
        service = await stack.enter_async_context(running(tmp_path, yaml(origin, tmp_path, more), tcp=True))

        async def health() -> str:
            _, told = await service.call("GET", "/upstreams/app")
            return str(next(each for each in told["backends"] if each["address"] == "127.0.0.1:1")["health"])

        async def is_down() -> bool:
            return await health() == "down"

        async def is_up() -> bool:
            return await health() == "up"

        await until(is_down)
        match = {"upstreams": ["app"], "backends": ["127.0.0.1:1"]}
        await start(service, {"name": "lie", "fault": "health_lie", "healthy": True, "match": match})
        await until(is_up)
        await service.call("DELETE", "/chaos")
        await until(is_down)
