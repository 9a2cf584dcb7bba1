"""The access log: whole lines, in order, buffered, reopened, and never fatal. What they say: test_log_lines.py."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path

import pytest

from proxy.metrics import Counters
from proxy.plan import AccessLogSpec
from proxy.scoreboard import C_LINES_DROPPED
from proxy.telemetry import access_log
from proxy.telemetry.access_log import AccessLog, LogFile
from tests.support.client import connect
from tests.support.running import Running, running
from tests.telemetry.test_log_format import RECORD, REFUSED, entries, until, with_log


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
    monkeypatch.setattr("proxy.telemetry.access_log.os.write", write)
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
