"""The access log: lines that parse whatever a client sends, in order, buffered, reopened, and never fatal.

Law of this file: every line is read back by a parser; combined lines by a regular expression that allows only what
log analysers allow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import access_log
from proxy.access_log import AccessLog, LogFile, Record, as_combined, as_json
from proxy.metrics import Counters
from proxy.plan import AccessLogSpec
from proxy.scoreboard import C_LINES_DROPPED
from tests.support.client import connect
from tests.support.origin import Origin, request, reset, response
from tests.support.running import Running, running

RECORD = Record(
    at=1_700_000_000.25, seconds=0.0123456, client="192.0.2.1", method=b"GET", target=b"/a?b=c", host=b"example.com",
    minor=1, status=200, bytes_in=3, bytes_out=5, route="app", upstream="app", backend="127.0.0.1:9001", tries=1,
    reason="", request_id=b"abc", referer=b"", user_agent=b"curl/8",
)  # fmt: skip
COMBINED = re.compile(
    r"(?P<client>[0-9A-Fa-f:.]+|unix) - - \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<line>[^"\\\x00-\x1f\x7f]*(?:\\x[0-9a-f]{2}[^"\\\x00-\x1f\x7f]*)*)" (?P<status>\d{3}) (?P<size>\d+) '
    r'"(?P<referer>[^"\\\x00-\x1f\x7f]+|(?:[^"\\\x00-\x1f\x7f]|\\x[0-9a-f]{2})+)" '
    r'"(?P<agent>[^"\\\x00-\x1f\x7f]+|(?:[^"\\\x00-\x1f\x7f]|\\x[0-9a-f]{2})+)"\n'
)
HOSTILE = st.binary(max_size=60)


# --- lines ----------------------------------------------------------------------------------------------


def test_a_line_of_json() -> None:
    assert json.loads(as_json(RECORD)) == {
        "time": "2023-11-14T22:13:20.250Z", "client": "192.0.2.1", "method": "GET", "host": "example.com",
        "target": "/a?b=c", "protocol": "HTTP/1.1", "status": 200, "seconds": 0.012346, "bytes_in": 3,
        "bytes_out": 5, "route": "app", "upstream": "app", "backend": "127.0.0.1:9001", "tries": 1,
        "request_id": "abc", "user_agent": "curl/8",
    }  # fmt: skip


def test_a_combined_line() -> None:
    assert as_combined(RECORD) == (
        b'192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 5 "-" "curl/8"\n'
    )


@given(target=HOSTILE, agent=HOSTILE, referer=HOSTILE, host=HOSTILE, method=HOSTILE, request_id=HOSTILE)
def test_hostile_bytes(
    target: bytes, agent: bytes, referer: bytes, host: bytes, method: bytes, request_id: bytes
) -> None:
    record = RECORD._replace(
        target=target, user_agent=agent, referer=referer, host=host, method=method, request_id=request_id
    )
    line = as_json(record)
    fields = json.loads(line)
    assert line.count(b"\n") == 1
    assert fields.get("target", "").encode("latin-1") == target
    assert fields.get("user_agent", "").encode("latin-1") == agent
    match = COMBINED.fullmatch(as_combined(record).decode())
    assert match is not None
    agent_text = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), match["agent"])
    assert agent_text == (agent.decode("latin-1") or "-")


@pytest.mark.parametrize("at", [0.0, 1_700_000_000.0, 1_700_000_000.9999, 1_700_000_000.001])
def test_times(at: float) -> None:
    stamp = json.loads(as_json(RECORD._replace(at=at)))["time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert abs(datetime.fromisoformat(stamp).timestamp() - at) < 0.002


# --- what is logged -------------------------------------------------------------------------------------


def with_log(yaml: str, path: Path, more: str = "") -> str:
    return f"{yaml}access_log: {{path: '{path}', flush: 10ms{more}}}\n"


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; the test's time limit ends it."""
    while not condition():  # noqa: ASYNC110 (another thread cannot set an Event of this loop)
        await asyncio.sleep(0.002)


async def test_a_forwarded_request(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with Origin([request(), response(b"body")]) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{name: all, upstream: app}}]\n"
        async with running(with_log(yaml, path)) as proxy, connect(proxy.address) as client:
            await client.request(
                b"POST /x?y HTTP/1.1\r\nHost: a.example:80\r\nX-Request-ID: id-1\r\nReferer: http://r/\r\n"
                b"User-Agent: test\r\nContent-Length: 3\r\n\r\nabc",
                b"POST",
            )
    (entry,) = entries(path)
    assert datetime.fromisoformat(str(entry.pop("time"))).tzinfo is not None
    assert 0 <= float(str(entry.pop("seconds"))) < 20
    assert entry == {
        "client": "127.0.0.1", "method": "POST", "host": "a.example", "target": "/x?y", "protocol": "HTTP/1.1",
        "status": 200, "bytes_in": 3, "bytes_out": 4, "route": "all", "upstream": "app", "tries": 1,
        "backend": origin.address, "request_id": "id-1", "referer": "http://r/", "user_agent": "test",
    }  # fmt: skip


REFUSED = "routes: [{path: /to, redirect: {to: /x}}, {path: /fixed, respond: {}}]\n"


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "route.no_route"),
        (b"GET /to HTTP/1.1\r\nHost: x\r\n\r\n", 308, "route.redirect"),
        (b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n", 200, "route.fixed"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "accept.bad_host"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "accept.bad_method"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX\x00: y\r\n\r\n", 400, "accept.bad_header_name"),
    ],
)
async def test_an_answer_of_the_proxy_names_its_reason(data: bytes, status: int, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        got = await client.request(data)
    (entry,) = entries(path)
    assert (entry["status"], entry["reason"]) == (status, reason) == (got.status, entry["reason"])
    if status >= 400:
        assert entry["request_id"] == json.loads(got.body)["request_id"]


async def test_a_refused_request_has_a_line_that_parses(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with (
        running(with_log(REFUSED, path, ", format: combined")) as proxy,
        connect(proxy.address) as client,
    ):
        await client.request(b'" - - [\x00] "\r\n\r\n')
    match = COMBINED.fullmatch(path.read_text())
    assert match is not None
    assert (match["line"], match["status"]) == ("-", "400")


async def test_backend_errors_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = "{}:{}".format(*closed.getsockname())
    async with Origin([request(), reset]) as origin:
        yaml = (
            f"upstreams: {{gone: {{backends: ['{refusing}']}}, bad: {{backends: ['{origin.address}']}}}}\n"
            "routes: [{path: /gone, upstream: gone}, {path: /bad, upstream: bad}]\n"
        )
        async with running(with_log(yaml, path)) as proxy, connect(proxy.address) as client:
            await client.request(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.request(b"POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"POST")
    first, second = entries(path)
    assert (first["status"], first["reason"], first["backend"]) == (502, "connect.refused", refusing)
    assert (second["status"], second["reason"], second["backend"]) == (502, "send.reset", origin.address)


async def test_a_client_that_leaves_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    arrived = asyncio.Event()

    async def mark(_: object) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with Origin([request(), mark]) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\n"
        async with running(with_log(yaml, path)) as proxy:
            async with connect(proxy.address) as client:
                await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await arrived.wait()
                client.reset()
            await until(lambda: proxy.proxy.counters.in_flight == 0)
    (entry,) = entries(path)
    assert (entry["status"], entry["reason"]) == (499, "relay.client_gone")


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [("[]", "127.0.0.1"), ("[127.0.0.1]", "192.0.2.7"), ("[127.0.0.1, 192.0.2.0/24]", "198.51.100.1")],
)
async def test_the_client_behind_trusted_proxies(trusted: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    yaml = with_log(f"{REFUSED}trusted_proxies: {trusted}\n", path)
    async with running(yaml) as proxy, connect(proxy.address) as client:
        await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n\r\n")
    assert entries(path)[0]["client"] == expected


SECRET = b"PATCH /secret HTTP/1.1\r\nHost: victim.example\r\nReferer: http://r/\r\nUser-Agent: a\r\n\r\n"
SECRETS = {"PATCH", "victim.example", "/secret", "http://r/", "a"}


@pytest.mark.parametrize(
    "sent",
    [
        b"BAD\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: y\r\nX\x00: z\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GE",
        b"GET /" + b"b" * 10_000,
    ],
    ids=["no request", "bad header", "no host", "too late", "too long"],
)
async def test_what_is_refused_shows_nothing_of_another_client(sent: bytes, tmp_path: Path) -> None:
    """An exchange is used again for the next request; neither id nor any field of the one before may stay in it."""
    path = tmp_path / "log"
    yaml = with_log("routes: [{path: /secret, respond: {}}]\ntimeouts: {head: 200ms}\n", path)
    async with running(yaml) as proxy, connect(proxy.address) as good, connect(proxy.address) as bad:
        assert (await good.request(SECRET, b"PATCH")).status == 200
        refusal = await bad.request(sent)
    first, second = entries(path)
    told = json.loads(refusal.body)
    assert set(first.values()) >= SECRETS
    assert (second["reason"], second["request_id"]) == (told["reason"], told["request_id"])
    assert second["request_id"] != first["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", str(second["request_id"]))
    assert not SECRETS & set(second.values())
    assert "route" not in second


async def test_a_refused_connection_shows_nothing_of_another_client(tmp_path: Path) -> None:
    path = tmp_path / "log"
    yaml = with_log("routes: [{path: /secret, respond: {}}]\nlimits: {connections: 1}\n", path)
    async with running(yaml) as proxy, connect(proxy.address) as good:
        assert (await good.request(SECRET, b"PATCH")).status == 200
        async with connect(proxy.address) as other:
            refusal = await other.response()
    first, second = entries(path)
    assert second["reason"] == "accept.too_many_connections"
    assert second["request_id"] == json.loads(refusal.body)["request_id"] != first["request_id"]
    assert not {"method", "host", "target", "protocol", "referer", "user_agent", "route"} & second.keys()


async def test_an_id_of_the_client_is_not_that_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n")
        await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.request(b"BAD\r\n\r\n")
    ids = [str(entry["request_id"]) for entry in entries(path)]
    assert ids[0] == "mine"
    assert len(set(ids)) == 3


@pytest.mark.parametrize("form", ["json", "combined"])
async def test_long_fields_are_cut(form: str, tmp_path: Path) -> None:
    """A head may hold 32 KiB; a line shows 2 KiB of each field."""
    path = tmp_path / "log"
    head = b"GET /fixed?%b HTTP/1.1\r\nHost: x\r\nReferer: %b\r\nUser-Agent: %b\r\nX-Request-ID: %b\r\n\r\n" % (
        b"t" * 5000,
        b"r" * 5000,
        b"u" * 9000,
        b"i" * 5000,
    )
    async with running(with_log(REFUSED, path, f", format: {form}")) as proxy, connect(proxy.address) as client:
        assert (await client.request(head)).status == 200
    if form == "json":
        (entry,) = entries(path)
        assert [len(str(entry[name])) for name in ("target", "referer", "user_agent")] == [2048] * 3
        assert len(str(entry["request_id"])) == 32  # made, since that of the client is too long
    else:
        match = COMBINED.fullmatch(path.read_text())
        assert match is not None
        assert (match["referer"], match["agent"]) == ("r" * 2048, "u" * 2048)
        assert len(match["line"]) == len("GET  HTTP/1.1") + 2048


async def test_hostile_bytes_from_the_wire(tmp_path: Path) -> None:
    """What the codec lets through is all that can reach a line."""
    path = tmp_path / "log"
    agents = [bytes([byte]) * 3 for byte in range(0x21, 0x100) if byte != 0x7F]
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        for agent in agents:
            await client.request(b"GET /fixed?%s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\n\r\n" % (b"'`{}|^", agent))
    logged = entries(path)
    assert [str(entry["user_agent"]).encode("latin-1") for entry in logged] == agents
    assert {entry["target"] for entry in logged} == {"/fixed?'`{}|^"}


async def test_the_order_is_that_of_the_requests(tmp_path: Path) -> None:
    path = tmp_path / "log"
    count = access_log.BATCH * 3 + 5
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        await client.send(b"".join(b"GET /fixed?%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(count)))
        for _ in range(count):
            await client.response()
    assert [entry["target"] for entry in entries(path)] == [f"/fixed?{n}" for n in range(count)]


# --- writing --------------------------------------------------------------------------------------------


def spec(path: Path | str, buffer: int = 65536, flush: float = 3600.0) -> AccessLogSpec:
    return AccessLogSpec(str(path), "json", buffer, flush)


def add(log: AccessLog, count: int) -> None:
    """Records without the exchanges that they come from."""
    for n in range(count):
        log.records.append(RECORD._replace(target=b"/%d" % n))


async def test_nothing_is_written_before_the_buffer_is_full_or_the_time_is_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    yaml = f"{REFUSED}access_log: {{path: '{path}', flush: 1h, buffer: 32KiB}}\n"
    async with running(yaml) as proxy, connect(proxy.address) as client:
        log = proxy.proxy.log
        assert log is not None
        sent = 0
        while not log.file.put_size:
            sent += 1
            await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n")
        assert sent % access_log.BATCH == 0
        assert 32768 <= log.file.put_size < 32768 + access_log.BATCH * 1000
        await until(lambda: log.file.waiting == 0)
        assert len(entries(path)) == sent


async def test_the_time_writes_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = AccessLog(spec(path, flush=0.001))
    log.start()
    add(log, 1)
    await until(lambda: path.stat().st_size > 0)
    assert len(entries(path)) == 1
    await log.close()


async def test_a_log_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for _ in range(2):
        log = AccessLog(spec(path))
        add(log, 2)
        await log.close()
    assert len(entries(path)) == 4
    assert path.stat().st_mode & 0o777 & ~0o644 == 0


async def test_reopening_loses_nothing(tmp_path: Path) -> None:
    path, moved = tmp_path / "log", tmp_path / "log.1"
    log = AccessLog(spec(path))
    add(log, 3)
    path.rename(moved)
    log.reopen()
    add(log, 2)
    await log.close()
    assert (len(entries(moved)), len(entries(path))) == (3, 2)


async def test_if_it_cannot_be_reopened_the_old_file_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    log = AccessLog(spec(folder / "log"))
    folder.rename(tmp_path / "old")
    log.reopen()
    add(log, 2)
    await log.close()
    assert len(entries(tmp_path / "old" / "log")) == 2
    assert "cannot be opened anew" in caplog.text


async def test_a_full_disk_is_reported_once_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    log = AccessLog(spec("/dev/full"), counters)
    for _ in range(3):
        add(log, 5)
        log.flush()
    await log.close()
    messages = [record.getMessage() for record in caplog.records]
    assert len([text for text in messages if "No space left on device" in text]) == 1
    assert "access log /dev/full: 15 lines were dropped" in messages
    assert counters.cells[C_LINES_DROPPED] == 15


def test_a_file_that_cannot_be_opened() -> None:
    with pytest.raises(FileNotFoundError):
        AccessLog(spec("/no/such/folder/log"))


def full_pipe(tmp_path: Path) -> tuple[Path, int]:
    """A named pipe that has a reader (its descriptor), and takes no more bytes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(writer, b"\n" * 4096)
    except BlockingIOError:
        os.close(writer)
    return path, reader


async def test_what_waits_for_a_slow_reader_is_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_log, "MOST_WAITING", 10_000)
    monkeypatch.setattr(access_log, "CLOSE_WITHIN", 0.01)
    path, reader = full_pipe(tmp_path)
    log = AccessLog(spec(path))
    try:
        for _ in range(100):
            add(log, 10)
            log.flush()
        assert log.file.waiting <= 10_000
        assert log.dropped > 900
        await log.close()
        assert "the last" in caplog.text
        assert f"{log.dropped} lines were dropped" in caplog.text
    finally:
        os.close(reader)
    await until(lambda: not log.file._thread.is_alive())


async def test_what_was_written_in_part_stays_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a line that was cut by an error the next one begins on a line of its own."""
    path = tmp_path / "log"
    log = AccessLog(spec(path))
    real, outcomes = os.write, iter([10, OSError(28, "No space left on device"), None, None])

    def write(fd: int, data: bytes) -> int:
        outcome = next(outcomes)
        if isinstance(outcome, OSError):
            raise outcome
        return real(fd, bytes(data)[:outcome])

    add(log, 2)
    monkeypatch.setattr("proxy.access_log.os.write", write)
    log.flush()
    add(log, 1)
    log.flush()
    await until(lambda: log.file.waiting == 0)
    monkeypatch.undo()
    await log.close()
    torn, whole = path.read_bytes().splitlines()
    assert len(torn) == 10
    assert json.loads(whole)["target"] == "/0"
    assert log.file.lost == 2


async def test_requests_go_on_while_the_log_cannot_be_written(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running(with_log(REFUSED, Path("/dev/full"))) as proxy, connect(proxy.address) as client:
        for _ in range(3):
            assert (await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200
            await reported(proxy)
    assert "No space left on device" in caplog.text


async def reported(proxy: Running) -> None:
    """Until everything so far was counted as dropped."""
    log = proxy.proxy.log
    assert log is not None
    await until(lambda: log.reported == proxy.proxy.counters.requests)


def test_lines_of_several_workers_do_not_cut_each_other_in_a_pipe() -> None:
    """A pipe in packet mode shows what each write was."""
    read, write = os.pipe2(os.O_DIRECT)
    try:
        file = LogFile("/dev/null")
        lines = [b"%d" % n + b"x" * (n * 37 % 1500) + b"\n" for n in range(40)]
        file.swap(write)
        file.put(b"".join(lines))
        assert file.close()
        got = []
        os.set_blocking(read, False)
        with contextlib.suppress(BlockingIOError):
            while packet := os.read(read, 65536):
                got.append(packet)
        assert b"".join(got) == b"".join(lines)
        assert len(got) > 1
        assert all(packet.endswith(b"\n") for packet in got)
    finally:
        os.close(read)
