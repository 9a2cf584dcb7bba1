"""Supervisor and workers as processes: what is killed, replaced, reloaded, taken over."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import h11
import pytest

from proxy.server.runtime_paths import RuntimePaths, run_dir
from proxy.server.worker_main import LINKED_WITHIN
from proxy.server.workers import ANSWER_WITHIN
from tests.support import PATIENCE
from tests.support.client import RawClient, connect
from tests.support.launcher import launch
from tests.support.origin import Origin, request, response, tell, wait
from tests.support.process import kill_group
from tests.support.service import Running, running, until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HELLO = "routes: [{respond: {body: hello}}]\naccess_log: null\n"


async def says(client: RawClient, body: bytes) -> None:
    got = await client.request(GET)
    assert (got.status, got.body) == (200, body)


async def command(name: str, service: Running) -> tuple[int, str, str]:
    """`qantara NAME -c FILE`: exit code, standard output and error."""
    process = await launch(name, "-c", str(service.file))
    out, err = await process.communicate()
    return await process.wait(), out.decode(), err.decode()


async def changed(client: RawClient) -> bool:
    return (await client.request(GET)).body == b"changed"


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


# --- workers ------------------------------------------------------------------------------------------


async def test_a_killed_worker_is_replaced_and_only_its_connections_are_lost(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO + "workers: 2\n", tcp=True) as service, AsyncExitStack() as stack:
        before = await service.workers()
        clients = [await stack.enter_async_context(connect(service.address)) for _ in range(20)]
        for client in clients:
            await says(client, b"hello")
        os.kill(before[1], signal.SIGKILL)

        async def replaced() -> bool:
            return (await service.workers()).get(1, before[1]) != before[1]

        await until(replaced)
        after = await service.workers()
        assert after[2] == before[2]
        lost = 0
        for client in clients:
            try:
                await says(client, b"hello")
            except (h11.RemoteProtocolError, ConnectionError):
                lost += 1
        assert 0 < lost < 20  # each worker has its own accept queue, and the kernel spreads connections over them
        for _ in range(20):
            async with connect(service.address) as client:
                await says(client, b"hello")
        assert "worker 1 (pid" in service.said
        assert not alive(before[1])


async def test_a_worker_that_hangs_is_ended_and_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO, constants={"proxy.server.workers:HUNG_AFTER": 3.0}) as service:
        before = await service.workers()
        os.kill(before[1], signal.SIGSTOP)
        await until(lambda: "hangs" in service.said)

        async def replaced() -> bool:
            return (await service.workers()).get(1, before[1]) != before[1]

        await until(replaced)
        async with connect(service.address) as client:
            await says(client, b"hello")


async def test_a_worker_has_one_thread_also_after_a_reload(tmp_path: Path) -> None:
    """A second one makes each read and write of the process dearer, and be it idle."""
    async with running(tmp_path, HELLO) as service:
        (worker,) = (await service.workers()).values()
        tasks = Path(f"/proc/{worker}/task")
        async with connect(service.address) as client:
            await says(client, b"hello")
            assert len(list(tasks.iterdir())) == 1
            assert (await service.reload(HELLO.replace("hello", "changed")))["ok"]
            await says(client, b"changed")

        async def alone() -> bool:
            return len(list(tasks.iterdir())) == 1

        await until(alone)


async def test_the_spare_is_replaced_too(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service:
        [spare] = (await service.status())["spares"]
        os.kill(spare, signal.SIGKILL)

        async def another() -> bool:
            return (await service.status())["spares"] not in ([], [spare])

        await until(another)
        assert not alive(spare)


async def test_without_a_worker_it_is_not_ready_and_whoever_replaces_one_it_counts(tmp_path: Path) -> None:
    logs, away = tmp_path / "logs", tmp_path / "away"
    logs.mkdir()
    yaml = f"routes: [{{respond: {{body: hello}}}}]\naccess_log: {{path: '{logs}/access.log'}}\n"
    async with running(tmp_path, yaml) as service:
        assert await service.call("GET", "/readyz") == (200, {"ready": True})
        logs.rename(away)  # no worker can begin any more
        os.kill((await service.workers())[1], signal.SIGKILL)
        await service.until_said("cannot be replaced")
        assert await service.call("GET", "/readyz") == (503, {"ready": False})
        assert not (await service.status())["ready"]
        away.rename(logs)
        assert (await service.reload(yaml))["ok"]  # which may be quicker than the next attempt
        assert await service.call("GET", "/readyz") == (200, {"ready": True})
        (worker,) = (await service.status())["workers"]
        assert worker["restarts"] == 1


async def test_the_number_of_workers_follows_the_configuration(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        await says(client, b"hello")
        assert (await service.reload(HELLO + "workers: 3\n"))["ok"]
        assert sorted(await service.workers()) == [1, 2, 3]
        assert (await service.reload(HELLO))["ok"]

        async def one_is_left() -> bool:
            return sorted(await service.workers()) == [1]

        await until(one_is_left)
        await says(client, b"hello")
        async with connect(service.address) as another:
            await says(another, b"hello")


async def test_a_place_is_served_while_the_worker_that_had_it_drains(tmp_path: Path) -> None:
    """Once it was taken for one that serves: half of the new connections hung, for good after its end."""
    go_on = asyncio.Event()
    async with Origin([request(), wait(go_on), response(b"late")]) as origin, AsyncExitStack() as stack:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\naccess_log: null\n"
        yaml += "routes: [{path: /slow, upstream: app}, {respond: {body: hello}}]\n"
        service = await stack.enter_async_context(running(tmp_path, yaml + "workers: 2\n", tcp=True))
        before = await service.workers()
        slow = [await stack.enter_async_context(connect(service.address)) for _ in range(20)]
        for client in slow:
            await client.send(GET.replace(b"/", b"/slow", 1))
        await until(lambda: len(origin.requests) == 20)
        assert (await service.reload(yaml + "workers: 1\n"))["ok"]
        assert await service.workers() == {1: before[1]}
        assert (await service.reload(yaml + "workers: 2\n"))["ok"]

        async def all_are_answered() -> None:
            for _ in range(20):
                async with connect(service.address) as client:
                    await says(client, b"hello")

        await all_are_answered()
        assert sorted(await service.workers()) == [1, 3]
        go_on.set()
        for client in slow:
            assert (await client.response()).body == b"late"
        await until(lambda: not alive(before[2]))
        await all_are_answered()
        assert sorted(await service.workers()) == [1, 3]


async def test_all_workers_killed_at_once_are_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO + "workers: 3\n") as service:
        before = set((await service.workers()).values())
        for pid in before:
            os.kill(pid, signal.SIGKILL)

        async def three_others() -> bool:
            return len(set((await service.workers()).values()) - before) == 3

        await until(three_others)
        async with connect(service.address) as client:
            await says(client, b"hello")


async def test_a_worker_that_dies_during_a_reload_refuses_no_configuration(tmp_path: Path) -> None:
    """Who is lost says nothing about what stands in the file: another one serves that."""
    async with running(tmp_path, HELLO + "workers: 2\n") as service:
        before = await service.workers()
        os.kill(before[2], signal.SIGSTOP)  # it will not have answered when it dies
        reload = asyncio.ensure_future(service.reload(HELLO.replace("hello", "changed") + "workers: 2\n"))
        async with connect(service.address) as client:  # of worker 1, which has taken it up
            await until(lambda: changed(client))
        os.kill(before[2], signal.SIGKILL)
        assert (await reload)["ok"]
        assert set(await service.workers()) & {2, 3}
        for _ in range(10):
            async with connect(service.address) as client:
                await says(client, b"changed")


# --- reload -------------------------------------------------------------------------------------------


async def test_a_bad_configuration_changes_nothing_and_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        told = await service.reload(HELLO + "workers: many\n")
        assert not told["ok"]
        assert "workers: " in told["problems"][0]
        assert (await service.status())["last_reload"]["ok"] is False
        await says(client, b"hello")
        assert (await service.reload(HELLO.replace("hello", "again")))["ok"]
        await says(client, b"again")


async def test_a_pipe_in_place_of_the_file_holds_up_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service:
        service.file.unlink()
        os.mkfifo(service.file)
        status, told = await service.call("POST", "/reload")
        assert (status, told["ok"]) == (422, False)
        assert "is not a regular file" in told["problems"][0]
        service.processes[0].send_signal(signal.SIGINT)
        assert await service.processes[0].wait() == 0


async def test_a_listener_that_cannot_be_opened_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        told = await service.reload("routes: [{respond: {body: new}}]\naccess_log: {path: /no/such/log}\n")
        assert "cannot open /no/such/log" in told["problems"][0]
        await says(client, b"hello")


async def test_listeners_come_and_go(tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        service.file.write_text(f"listeners: [{{bind: 'unix:{service.path}'}}, {{bind: 'unix:{other}'}}]\n{HELLO}")
        assert (await service.call("POST", "/reload"))[0] == 200
        async with connect(str(other)) as second:
            await says(second, b"hello")
            assert (await service.reload(HELLO))["ok"]
            assert await second.closed()
        assert not other.exists()
        await says(client, b"hello")


async def test_the_command_waits_and_tells(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service:
        assert (await command("reload", service))[0] == 0
        service.write("workers: many\n")
        code, _, said = await command("reload", service)
        assert code == 2
        assert "workers: " in said
        assert "worker 1" in (await command("status", service))[1]
        assert (await command("stop", service))[0] == 0
        await service.until_said("stopped")


async def test_the_file_is_watched_if_wanted(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO + "watch: true\n") as service, connect(service.address) as client:
        await says(client, b"hello")
        beside = tmp_path / "new.yaml"
        beside.write_text(service.file.read_text().replace("hello", "seen"))

        async def swapped() -> bool:
            if beside.exists():
                os.replace(beside, service.file)  # as editors do
            return "reloaded" in service.said

        await until(swapped)
        await says(client, b"seen")


async def test_a_reload_begins_and_ends_to_watch_the_file(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        assert (await service.reload(HELLO + "watch: true\n"))["ok"]
        service.write(HELLO.replace("hello", "seen") + "watch: true\n")
        await service.until_said("reloaded", 2)
        await says(client, b"seen")
        service.write(HELLO.replace("hello", "last") + "watch: false\n")
        await service.until_said("reloaded", 3)
        await says(client, b"last")
        _, shown = await service.call("GET", "/config")
        assert shown["watch"] is False


# --- health -------------------------------------------------------------------------------------------


async def test_what_the_checks_find_reaches_the_workers_and_outlives_a_reload(tmp_path: Path) -> None:
    healthy = response(b"ok")
    sick = response(b"", b"500 Broken")
    check = [request(), sick]
    async with (
        Origin(check, forever=True) as bad,
        Origin([request(), healthy], forever=True) as good,
    ):
        yaml = (
            f"upstreams: {{app: {{backends: ['{bad.address}', '{good.address}'], panic: 10%,"
            f" health: {{interval: 50ms, fast_interval: 50ms, fall: 1}}}}}}\n"
            f"routes: [{{upstream: app}}]\naccess_log: null\nworkers: 2\n"
        )
        async with running(tmp_path, yaml) as service:
            await service.until_said(f"{bad.address} is down")

            async def all_is_well() -> bool:
                statuses = []
                for _ in range(6):
                    async with connect(service.address) as client:
                        statuses.append((await client.request(GET)).status)
                return statuses == [200] * 6

            await until(all_is_well)
            assert (await service.reload(yaml + "via: other\n"))["ok"]
            assert await all_is_well()


# --- the supervisor goes ------------------------------------------------------------------------------


async def test_without_a_supervisor_workers_serve_on_and_the_next_one_takes_over(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO + "workers: 2\ntimeouts: {drain: 1s}\n") as service:
        status = await service.status()
        async with connect(service.address) as client:
            await says(client, b"hello")
            os.kill(status["pid"], signal.SIGKILL)
            await service.until_said("serving on", 2)
            await says(client, b"hello")
            await service.start()
            await service.until_said("took over", 2)
            await says(client, b"hello")  # answered, and asked to close
            assert await client.closed()
        async with connect(service.address) as client:
            await says(client, b"hello")
        await until(lambda: not any(alive(worker["pid"]) for worker in status["workers"]))


async def test_a_stop_without_a_supervisor_drains_its_workers(tmp_path: Path) -> None:
    yaml = HELLO + "workers: 2\ntimeouts: {accept_grace: 0s}\n"
    async with running(tmp_path, yaml) as service, connect(service.address) as client:
        await says(client, b"hello")
        status = await service.status()
        os.kill(status["pid"], signal.SIGKILL)
        await service.until_said("serving on", 2)
        pids = {worker["pid"] for worker in status["workers"]}
        code, _, err = await command("status", service)
        assert code == 1
        assert all(f"pid {pid}  serves on" in err for pid in pids)
        assert (await command("reload", service))[0] == 1
        await says(client, b"hello")
        code, out, _ = await command("stop", service)
        assert (code, out) == (0, "the supervisor is gone; draining 2 processes that served on\n")
        await until(lambda: not any(map(alive, pids)))
        code, _, err = await command("stop", service)
        assert (code, "nobody serves" in err) == (1, True)


async def test_readiness_fails_before_connections_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO + "timeouts: {accept_grace: 60s}\n") as service:
        assert (await service.call("GET", "/readyz"))[0] == 200
        assert (await service.call("POST", "/stop"))[0] == 202
        assert (await service.call("GET", "/readyz"))[0] == 503
        await service.until_said("draining")

        async def asked_to_close() -> bool:
            async with connect(service.address) as client:
                got = await client.request(GET)
                assert (got.status, got.body) == (200, b"hello")
                return got.header(b"connection") == b"close"

        await until(asked_to_close)
        service.processes[0].send_signal(signal.SIGTERM)  # a second time: at once
        await service.processes[0].wait()


async def test_an_upgrade_loses_no_request(tmp_path: Path) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    async with Origin([request(), tell(arrived), wait(go_on), response(b"late")]) as origin:
        yaml = (
            f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\naccess_log: null\n"
        )
        async with running(tmp_path, yaml) as service, connect(service.address) as client:
            before = (await service.status())["pid"]
            await client.send(GET)
            await arrived.wait()
            status, told = await service.call("POST", "/upgrade")
            assert status == 200
            service.groups.append(told["pid"])
            go_on.set()
            assert (await client.response()).body == b"late"
            after = await service.status()
            assert after["pid"] == told["pid"] != before
            await until(lambda: not alive(before))


async def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        before = (await service.status())["pid"]
        service.write("workers: many\n")
        status, told = await service.call("POST", "/upgrade")
        assert (status, told["problems"]) == (500, ["the new process ended with exit code 2; see its log"])
        assert (await service.status())["pid"] == before
        await says(client, b"hello")


async def test_a_second_one_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path, HELLO) as service, connect(service.address) as client:
        second = await service.start()
        assert await second.wait() == 1
        await service.until_said("serves this configuration already")
        await says(client, b"hello")


# --- what surrounds it --------------------------------------------------------------------------------


async def test_strangers_are_reaped(tmp_path: Path) -> None:
    """As process 1 of a container it becomes the parent of every orphan."""
    libc = "import ctypes, os; ctypes.CDLL(None).prctl(36, 1); "  # PR_SET_CHILD_SUBREAPER
    file = tmp_path / "qantara.yaml"
    file.write_text(f"listeners: [{{bind: 'unix:{tmp_path}/q.sock'}}]\n{HELLO}")
    orphan = "import os; os.fork() and os._exit(0); import time; time.sleep(1); os._exit(0)"
    code = f"{libc}os.spawnl(os.P_WAIT, '{sys.executable}', 'python', '-c', '{orphan}')\n"
    code += f"from proxy.cli import main; main(['run', '-c', '{file}'])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), cwd=ROOT, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stderr is not None
        while b"listening" not in await process.stderr.readline():
            pass

        def children() -> list[str]:
            listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            return [Path(f"/proc/{pid}/stat").read_text() for pid in listed]

        await until(lambda: len(children()) == 2)  # the worker and the spare
        assert not any(" Z " in status for status in children())
    finally:
        kill_group(process.pid)
        await process.communicate()


async def test_systemd_is_told_and_its_sockets_are_used(tmp_path: Path) -> None:
    import socket

    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "n"))
    notified.setblocking(False)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    file = tmp_path / "qantara.yaml"
    file.write_text(f"listeners: [{{bind: '127.0.0.1:{port}'}}]\n{HELLO}")
    code = (
        f"import os; os.dup2({listening.fileno()}, 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1')\n"
        f"from proxy.cli import main; raise SystemExit(main(['run', '-c', '{file}']))"
    )
    with notified, listening:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=[listening.fileno()],
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "n")},
        )
        try:
            loop = asyncio.get_running_loop()
            told = (await asyncio.wait_for(loop.sock_recv(notified, 4096), PATIENCE)).decode()
            assert f"MAINPID={process.pid}" in told
            assert told.startswith("READY=1")
            async with connect(("127.0.0.1", port)) as client:
                await says(client, b"hello")
            process.send_signal(signal.SIGHUP)
            assert (await asyncio.wait_for(loop.sock_recv(notified, 4096), PATIENCE)).startswith(b"RELOADING=1")
            process.send_signal(signal.SIGTERM)
            while b"STOPPING=1" not in await asyncio.wait_for(loop.sock_recv(notified, 4096), PATIENCE):
                pass
            assert await process.wait() == 0
        finally:
            kill_group(process.pid)
            await process.communicate()


def test_the_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proxy.errors import BindError

    with pytest.raises(BindError, match="for sockets"):
        run_dir("/proc/no")
    with pytest.raises(BindError, match="too long"):
        RuntimePaths(tmp_path / ("x" * 100), "q.yaml")


async def test_the_admin_api_drains_a_backend_and_shows_it_in_the_metrics(tmp_path: Path) -> None:
    async with Origin([request(), response(b"one")], forever=True) as one, AsyncExitStack() as stack:
        two = await stack.enter_async_context(Origin([request(), response(b"two")], forever=True))
        yaml = (
            f"upstreams: {{app: {{backends: ['{one.address}', '{two.address}']}}}}\nroutes: [{{upstream: app}}]\n"
            "admin: {bind: '127.0.0.1:0'}\naccess_log: null\n"
        )
        service = await stack.enter_async_context(running(tmp_path, yaml))
        port = re.search(r"admin API on 127\.0\.0\.1:(\d+)", service.said)
        assert port is not None
        base = f"http://127.0.0.1:{port[1]}"
        async with aiohttp.ClientSession() as session:
            async with session.put(f"{base}/upstreams/app/backends/{one.address}", json={"state": "drain"}) as changed:
                assert changed.status == 200

            async def only_two() -> bool:
                async with connect(service.address) as client:
                    return {(await client.request(GET)).body for _ in range(6)} == {b"two"}

            await until(only_two)
            assert (await service.reload(yaml + "via: other\n"))["ok"]
            assert await only_two()  # what an operator has said outlives a reload
            async with session.get(f"{base}/metrics") as metrics:
                text = await metrics.text()
        assert f'qantara_backend_up{{backend="{one.address}",upstream="app"}} 0.0' in text
        assert "qantara_config_last_reload_success 1.0" in text


def test_a_worker_gives_up_compiling_before_the_supervisor_gives_up_waiting() -> None:
    """Or it would be taken for one that hangs, and nobody would say that it was the configuration."""
    assert LINKED_WITHIN <= ANSWER_WITHIN - 10
