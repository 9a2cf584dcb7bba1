"""`qantara run` and `qantara check` as a service manager sees them: child processes, signals, exit codes, reports.

Law of this file: a process is ready when it says "listening on"; nothing here waits for a length of time. Each child
that a test starts is gone when the test ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.client import RawClient, connect
from tests.support.launcher import Process, launch
from tests.support.origin import Origin, request, response, tell, wait
from tests.support.process import kill_group

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
RESPOND = "routes: [{respond: {body: hello}}]\n"
LISTEN = "listeners: [{bind: '127.0.0.1:0'}]\n"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def command(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that ends by itself."""
    process = await launch(*arguments)
    out, err = await process.communicate()
    return await process.wait(), out.decode(), err.decode()


async def program(*arguments: str) -> tuple[int, str, str]:
    """The same of `python -m proxy`, started as a program."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class Service:
    """A running `qantara run`."""

    def __init__(self, process: Process, addresses: list[str]) -> None:
        self.process = process
        self.addresses = addresses

    @property
    def address(self) -> tuple[str, int] | str:
        first = self.addresses[0]
        if first.startswith("/"):
            return first
        host, _, port = first.rpartition(":")
        return host.strip("[]"), int(port)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def line(self, text: str) -> str:
        """Read the errors up to a line that holds `text`."""
        seen = []
        while line := await self.process.stderr.readline():
            seen.append(line.decode())
            if text in seen[-1]:
                return seen[-1]
        raise AssertionError(f"it ended without saying {text!r}: {seen}")

    async def end(self) -> tuple[int, str, str]:
        """Exit code, output, and the errors that were not read yet."""
        out, err = await self.process.communicate()
        return await self.process.wait(), out.decode(), err.decode()


@asynccontextmanager
async def running_service(file: Path, yaml: str, listeners: int = 1) -> AsyncIterator[Service]:
    if "timeouts:" not in yaml:
        yaml += "timeouts: {accept_grace: 0s}\n"
    file.write_text(yaml, encoding="utf-8")
    process = await launch("run", "-c", str(file))
    service = Service(process, [])
    try:
        for _ in range(listeners):
            line = await service.line("listening on ")
            service.addresses.append(line.partition("listening on ")[2].strip())
        yield service
    finally:
        kill_group(process.pid)
        await process.communicate()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "qantara.yaml"


async def hello(client: RawClient) -> None:
    got = await client.request(GET)
    assert (got.status, got.body) == (200, b"hello")


# --- check and refusal ----------------------------------------------------------------------------------

BAD = {
    "wrong type": (LISTEN + RESPOND + "workers: many\n", ":3:10: workers: "),
    "unknown key": (LISTEN + RESPOND + "timeout: {head: 1s}\n", ":3:1: timeout: "),
    "unknown upstream": (
        LISTEN + "routes: [{upstream: ap}]\nupstreams: {app: {backends: ['a:1']}}\n",
        "did you mean app",
    ),
    "no listeners": (RESPOND, ": listeners: "),
    "duration without unit": (LISTEN + RESPOND + "timeouts: {head: 10}\n", ":3:18: timeouts.head: "),
    "no YAML": ("listeners: [", ":1:"),
    "empty": ("", "the file is empty"),
    "shards": (LISTEN + "routes: [{shard: users}]\n", "shard routing is not part of this version"),
    "two actions": (LISTEN + "routes: [{redirect: {to: /x}, respond: {}}]\n", "routes[0].respond: excludes redirect"),
    "bad regex": (LISTEN + "routes: [{regex: '(', respond: {}}]\n", "routes[0].regex: "),
    "unknown algorithm": (
        LISTEN + "routes: [{upstream: a}]\nupstreams: {a: {balance: round_robbin, backends: ['a:1']}}\n",
        "did you mean round_robin?",
    ),
    "class that is not there": (
        LISTEN + "routes: [{upstream: a}]\nupstreams: {a: {balance: 'no.such:Thing', backends: ['a:1']}}\n",
        "upstreams.a.balance: ",
    ),
    "class of another kind": (
        LISTEN + "routes: [{upstream: a}]\nupstreams: {a: {balance: 'json:JSONDecoder', backends: ['a:1']}}\n",
        "not a subclass",
    ),
    "parameter that is not taken": (
        LISTEN + "routes: [{upstream: a}]\n"
        "upstreams: {a: {balance: {algorithm: round_robin, speed: 9}, backends: ['a:1']}}\n",
        "speed",
    ),
    "regex for text only": (LISTEN + 'routes: [{regex: "^/\\\\u0041", respond: {}}]\n', "routes[0]"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_configuration_is_refused_by_check_and_run_alike(case: str, file: Path) -> None:
    text, expected = BAD[case]
    file.write_text(text, encoding="utf-8")
    (code, out, err), (run_code, run_out, run_err) = await asyncio.gather(
        command("check", str(file)), command("run", "-c", str(file))
    )
    assert (code, run_code, out, run_out) == (2, 2, "", "")
    for report in (err, run_err):
        assert expected in report
        assert str(file) in report
        assert "Traceback" not in report
    assert "listening" not in run_err


PLACED = f"""\
{LISTEN}upstreams:
  gone: {{backends: ['a:1'], balance: 'no.such:Thing'}}
  odd:
    backends: ['a:1']
    balance: {{algorithm: round_robin, speed: 9}}
routes:
- {{path: /a, upstream: gone}}
- {{path: /b, upstream: odd}}
"""


async def test_what_only_the_code_finds_wrong_has_its_place_too(file: Path) -> None:
    """All of it at once: an algorithm that cannot be imported, and one that does not take its parameter."""
    file.write_text(PLACED, encoding="utf-8")
    for arguments in (("check", str(file)), ("run", "-c", str(file))):
        code, out, err = await command(*arguments)
        assert (code, out) == (2, "")
        assert f"{file}:3:38: upstreams.gone.balance: " in err
        assert f"{file}:6:14: upstreams.odd.balance: " in err
        assert "Traceback" not in err


async def test_every_error_is_reported_at_once(file: Path) -> None:
    file.write_text("listeners: [{bind: 8080}]\nvia: 'a b'\nroutes: [{upstrem: app}]\n", encoding="utf-8")
    code, _, err = await command("check", str(file))
    places = re.findall(rf"^{re.escape(str(file))}:(\d+):\d+: ", err, re.MULTILINE)
    assert code == 2
    assert sorted(set(places)) == ["1", "2", "3"]
    assert "did you mean upstream?" in err
    assert re.search(r": \d errors$", err.strip().splitlines()[-1])


@pytest.mark.parametrize("name", ["missing.yaml", "."])
async def test_a_file_that_cannot_be_read(name: str, tmp_path: Path) -> None:
    path = str(tmp_path / name)
    for arguments in (("check", path), ("run", "-c", path)):
        code, out, err = await command(*arguments)
        assert (code, out) == (2, "")
        assert path in err
        assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [(), ("run",), ("check",), ("nonsense",), ("run", "x.yaml")])
async def test_wrong_arguments(arguments: tuple[str, ...]) -> None:
    code, out, err = await program(*arguments)
    assert code == 2
    assert "usage: qantara" in out + err


async def test_version_and_help() -> None:
    (code, out, _), (help_code, help_out, _) = await asyncio.gather(program("--version"), program("--help"))
    assert (code, help_code) == (0, 0)
    assert re.fullmatch(r"qantara \d+\.\d+\.\d+\n", out)
    assert all(word in help_out for word in ("run", "check", "demo", "schema"))


async def test_schema_is_json() -> None:
    code, out, _ = await program("schema")
    assert code == 0
    assert json.loads(out)["properties"]["listeners"]


async def test_a_good_configuration_with_warnings(file: Path) -> None:
    file.write_text(LISTEN + RESPOND + "upstreams: {app: {backends: ['a:1']}}\n", encoding="utf-8")
    code, out, err = await command("check", str(file))
    assert code == 0
    assert out == f"{file}: good (1 routes, 1 upstreams)\n"
    assert "no route uses this upstream" in err
    async with running_service(file, LISTEN + RESPOND) as service:
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0


# --- listeners ------------------------------------------------------------------------------------------


async def test_a_port_in_use(file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file.write_text(f"listeners: [{{bind: '127.0.0.1:{port}'}}]\n" + RESPOND, encoding="utf-8")
        code, _, err = await command("run", "-c", str(file))
    assert code == 1
    assert f"127.0.0.1:{port}" in err
    assert "in use" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("bind", "expected"),
    [("192.0.2.1:0", "does not have that address"), ("unix:/no/such/folder/q.sock", "the folder does not exist")],
)
async def test_an_address_that_cannot_be_had(bind: str, expected: str, file: Path) -> None:
    file.write_text(f"listeners: [{{bind: '{bind}'}}]\n" + RESPOND, encoding="utf-8")
    code, _, err = await command("run", "-c", str(file))
    assert code == 1
    assert expected in err
    assert "Traceback" not in err


async def test_if_one_listener_fails_none_is_left(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "q.sock"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        binds = f"listeners: [{{bind: 'unix:{path}'}}, {{bind: '127.0.0.1:{port}'}}]\n"
        file.write_text(binds + RESPOND, encoding="utf-8")
        code, _, err = await command("run", "-c", str(file))
    assert code == 1
    assert "in use" in err
    assert not path.exists()


async def test_several_listeners(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "q.sock"
    binds = f"listeners: [{{bind: '127.0.0.1:0'}}, {{bind: 'unix:{path}'}}, {{bind: '[::1]:0'}}]\n"
    async with running_service(file, binds + RESPOND, listeners=3) as service:
        assert service.addresses[1] == str(path)
        assert re.fullmatch(r"\[::1\]:\d+", service.addresses[2])
        six = ("::1", int(service.addresses[2].rpartition(":")[2]))
        for address in (service.address, str(path), six):
            async with connect(address) as client:
                await hello(client)
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0


async def test_a_unix_socket_is_removed_at_the_end(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "q.sock"
    async with running_service(file, f"listeners: [{{bind: 'unix:{path}'}}]\n" + RESPOND) as service:
        async with connect(str(path)) as client:
            await hello(client)
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0
    assert not path.exists()


async def test_a_stale_unix_socket_is_replaced(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "q.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    async with (
        running_service(file, f"listeners: [{{bind: 'unix:{path}'}}]\n" + RESPOND),
        connect(str(path)) as client,
    ):
        await hello(client)


async def test_a_unix_socket_in_use_is_left_alone(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "q.sock"
    yaml = f"listeners: [{{bind: 'unix:{path}'}}]\n" + RESPOND
    other = tmp_path / "other.yaml"
    other.write_text(yaml)
    async with running_service(file, yaml):
        code, _, err = await command("run", "-c", str(other))
        assert code == 1
        assert "in use" in err
        async with connect(str(path)) as client:
            await hello(client)


async def test_a_file_that_is_no_socket_is_left_alone(file: Path, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    file.write_text(f"listeners: [{{bind: 'unix:{path}'}}]\n" + RESPOND, encoding="utf-8")
    code, _, _ = await command("run", "-c", str(file))
    assert code == 1
    assert path.read_text() == "data"


# --- signals --------------------------------------------------------------------------------------------


def slow(origin: Origin, more: str = "") -> str:
    return (
        f"{LISTEN}upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\n"
        f"access_log: null\n{more}"
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains(number: signal.Signals, file: Path) -> None:
    """The request in flight is answered, idle connections are closed, nothing new is accepted, the exit is clean."""
    arrived, go_on = asyncio.Event(), asyncio.Event()
    async with (
        Origin([request(), tell(arrived), wait(go_on), response(b"late")]) as origin,
        running_service(file, slow(origin)) as service,
        connect(service.address) as idle,
        connect(service.address) as busy,
    ):
        await busy.send(GET)
        await arrived.wait()
        service.signal(number)
        await service.line("draining")
        assert await idle.closed()
        with pytest.raises(ConnectionError):
            async with connect(service.address):
                pass
        go_on.set()
        got = await busy.response()
        assert (got.status, got.body) == (200, b"late")
        assert await busy.closed()
        code, _, err = await service.end()
        assert code == 0
        assert "stopped after 1 requests" in err or "stopped after 1 request" in err


async def test_the_last_response_says_that_the_connection_closes(file: Path) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    async with (
        Origin([request(), tell(arrived), wait(go_on), response(b"late")]) as origin,
        running_service(file, slow(origin)) as service,
        connect(service.address) as idle,
        connect(service.address) as client,
    ):
        await client.send(GET)
        await arrived.wait()
        service.signal(signal.SIGTERM)
        assert await idle.closed()
        go_on.set()
        assert ((await client.response()).header(b"connection") or b"").lower() == b"close"


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_stops_at_once(second: signal.Signals, file: Path) -> None:
    arrived = asyncio.Event()
    async with (
        Origin([request(), tell(arrived), wait(asyncio.Event())]) as origin,
        running_service(file, slow(origin)) as service,
        connect(service.address) as client,
    ):
        await client.send(GET)
        await arrived.wait()
        service.signal(signal.SIGTERM)
        await service.line("draining")
        service.signal(second)
        code, _, err = await service.end()
        assert code == 1
        assert "Traceback" not in err
        last = await client.read_to_end()
        assert b" 503 " in last
        assert b"admit.shutting_down" in last


async def test_drain_has_an_end(file: Path) -> None:
    arrived = asyncio.Event()
    async with (
        Origin([request(), tell(arrived), wait(asyncio.Event())]) as origin,
        running_service(file, slow(origin, "timeouts: {drain: 100ms, accept_grace: 0s}\n")) as service,
        connect(service.address) as client,
    ):
        await client.send(GET)
        await arrived.wait()
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 1
        last = await client.read_to_end()
        assert last.startswith(b"HTTP/1.1 503 ")
        assert b"admit.shutting_down" in last


async def test_sighup_reloads(file: Path) -> None:
    async with running_service(file, LISTEN + RESPOND) as service, connect(service.address) as client:
        await hello(client)
        file.write_text(LISTEN + RESPOND.replace("hello", "changed"), encoding="utf-8")
        service.signal(signal.SIGHUP)
        await service.line("reloaded")
        assert (await client.request(GET)).body == b"changed"
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0


async def test_sighup_with_a_bad_file_changes_nothing_and_says_why(file: Path) -> None:
    async with running_service(file, LISTEN + RESPOND) as service, connect(service.address) as client:
        file.write_text(LISTEN + RESPOND + "workers: many\n", encoding="utf-8")
        service.signal(signal.SIGHUP)
        assert ":3:10: workers: " in await service.line("refused")
        await hello(client)


# --- the access log -------------------------------------------------------------------------------------


async def test_the_access_log_goes_to_standard_output(file: Path) -> None:
    async with running_service(file, LISTEN + RESPOND) as service:
        async with connect(service.address) as client:
            for _ in range(3):
                await hello(client)
        service.signal(signal.SIGTERM)
        code, out, _ = await service.end()
    assert code == 0
    assert [json.loads(line)["status"] for line in out.splitlines()] == [200, 200, 200]


async def test_sigusr1_opens_the_log_anew(file: Path, tmp_path: Path) -> None:
    log, moved = tmp_path / "access.log", tmp_path / "access.log.1"
    yaml = f"{LISTEN}{RESPOND}access_log: {{path: '{log}', flush: 10ms}}\n"
    async with running_service(file, yaml) as service, connect(service.address) as client:
        await hello(client)
        log.rename(moved)
        service.signal(signal.SIGUSR1)
        while not log.exists():  # noqa: ASYNC110 (the signal has no answer but the new file)
            await asyncio.sleep(0.005)
        await hello(client)
        await hello(client)
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0
    assert len(moved.read_text().splitlines()) == 1
    assert len(log.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("path", "why"),
    [("/no/such/folder/access.log", "No such file or directory"), ("/dev", "Is a directory")],
)
async def test_a_log_that_cannot_be_opened(path: str, why: str, file: Path) -> None:
    """Said in plain words, without a trace of the code, and without an errno."""
    file.write_text(f"{LISTEN}{RESPOND}access_log: {{path: {path}}}\n", encoding="utf-8")
    code, out, err = await command("run", "-c", str(file))
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"error: cannot open {path}: {why}"
    assert "Traceback" not in err
    assert "listening" not in err


async def test_a_full_disk_is_told_and_requests_go_on(file: Path) -> None:
    yaml = f"{LISTEN}{RESPOND}access_log: {{path: /dev/full, flush: 10ms}}\n"
    async with running_service(file, yaml) as service, connect(service.address) as client:
        await hello(client)
        assert "/dev/full" in await service.line("No space left")
        assert "1 lines were dropped" in await service.line("dropped")
        await hello(client)
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0


async def test_an_output_that_nobody_reads_holds_nothing_up(file: Path) -> None:
    """Requests are answered and the process ends although its standard output is a full pipe."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    file.write_text(f"{LISTEN}{RESPOND}access_log: {{path: '-', flush: 10ms}}\n", encoding="utf-8")
    process = await launch("run", "-c", str(file), stdout=write)
    os.close(write)
    service = Service(process, [])
    try:
        service.addresses.append((await service.line("listening on ")).partition("listening on ")[2].strip())
        async with connect(service.address) as client:
            for _ in range(200):
                await hello(client)
        service.signal(signal.SIGTERM)
        assert (await service.end())[0] == 0
    finally:
        os.close(read)
        if process.returncode is None:
            process.kill()
            await process.wait()
