"""What an app server knows of its load: from control groups of both versions, from the machine, and from requests."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic

import pytest

from proxy.middleware.load import Load, Machine
from proxy.upstream.load.orca import parse_body, parse_header

PACKAGE = Path(__file__).resolve().parents[2] / "proxy" / "middleware"


def files(root: Path, **contents: str) -> str:
    """A file system with these files; "__" in a name stands for "/", "_dot_" for "."."""
    for name, text in contents.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root)


# --- the machine ---


def test_a_control_group_of_version_2(tmp_path: Path) -> None:
    root = files(
        tmp_path,
        proc__self__cgroup="0::/outer/inner\n",
        sys__fs__cgroup__outer__cpu_dot_max="150000 100000\n",
        sys__fs__cgroup__outer__cpu_dot_stat="usage_usec 2500000\nuser_usec 1\n",
        sys__fs__cgroup__outer__inner__cpu_dot_max="max 100000\n",
        sys__fs__cgroup__outer__inner__cpu_dot_stat="usage_usec 1\n",
        sys__fs__cgroup__outer__inner__memory_dot_max="1000\n",
        sys__fs__cgroup__outer__inner__memory_dot_current="700\n",
        sys__fs__cgroup__outer__inner__memory_dot_stat="anon 1\ninactive_file 200\n",
        sys__fs__cgroup__outer__memory_dot_max="max\n",
    )
    machine = Machine(root)
    assert machine.cpu() == (2.5, 1.5)
    assert machine.memory() == pytest.approx(0.5)


def test_the_tightest_limit_counts(tmp_path: Path) -> None:
    root = files(
        tmp_path,
        proc__self__cgroup="0::/a/b\n",
        sys__fs__cgroup__a__cpu_dot_max="50000 100000",
        sys__fs__cgroup__a__cpu_dot_stat="usage_usec 8000000",
        sys__fs__cgroup__a__b__cpu_dot_max="200000 100000",
        sys__fs__cgroup__a__b__cpu_dot_stat="usage_usec 1000000",
    )
    assert Machine(root).cpu() == (8.0, 0.5)


def test_a_control_group_of_version_1(tmp_path: Path) -> None:
    root = files(
        tmp_path,
        proc__self__cgroup="4:memory:/pod\n2:cpu,cpuacct:/pod\n1:name=systemd:/\n",
    )
    cpu, memory = tmp_path / "sys/fs/cgroup/cpu,cpuacct/pod", tmp_path / "sys/fs/cgroup/memory/pod"
    cpu.mkdir(parents=True)
    memory.mkdir(parents=True)
    (cpu / "cpu.cfs_quota_us").write_text("200000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")
    (cpu / "cpuacct.usage").write_text("3000000000\n")
    (memory / "memory.limit_in_bytes").write_text("4000\n")
    (memory / "memory.usage_in_bytes").write_text("3000\n")
    machine = Machine(root)
    assert machine.cpu() == (3.0, 2.0)
    assert machine.memory() == pytest.approx(0.75)


def test_without_limits_it_is_the_machine(tmp_path: Path) -> None:
    cores = sorted(os.sched_getaffinity(0))
    ticks = os.sysconf("SC_CLK_TCK")
    lines = [f"cpu{core} {ticks} 0 {ticks} 900 50 0 {ticks} 0 7 0" for core in cores]
    root = files(
        tmp_path,
        proc__stat="\n".join(["cpu  1 1 1 1 1 1 1 1 1 1", *lines, "cpu9999 1 1 1 1 1 1 1 1 1 1", "intr 5"]),
        proc__meminfo="MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: 400 kB\n",
        proc__self__cgroup="0::/\n",
    )
    machine = Machine(root)
    used, allowed = machine.cpu()
    assert used == pytest.approx(3.0 * len(cores))
    assert allowed == len(cores)
    assert machine.memory() == pytest.approx(0.6)


def test_where_nothing_can_be_read_it_is_the_process(tmp_path: Path) -> None:
    machine = Machine(str(tmp_path))
    used, cores = machine.cpu()
    times = os.times()
    assert 0 < used <= times.user + times.system
    assert cores >= 1
    assert machine.memory() is None


def test_this_machine() -> None:
    machine = Machine()
    used, cores = machine.cpu()
    assert used > 0
    assert cores > 0
    memory = machine.memory()
    assert memory is None or 0 < memory < 1


# --- requests ---


class Scripted(Machine):
    """A machine of which the test says how busy it was."""

    def __init__(self) -> None:
        self.used = 0.0

    def cpu(self) -> tuple[float, float]:
        return self.used, 2.0

    def memory(self) -> float | None:
        return 0.25


def test_what_is_written_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    now = monotonic()
    monkeypatch.setattr("proxy.middleware.load.time.monotonic", lambda: now)
    machine = Scripted()
    load = Load(concurrency=8, processes=2, machine=machine)
    for n in range(30):
        load.ended(load.began(), 0.5, n < 10)
    load.began()
    load.began()
    now, machine.used = now + 2.0, 3.0
    text, body = parse_header(load.text(0.125).encode()), parse_body(load.json())
    assert text is not None
    assert body is not None
    for report in (text, body):
        assert report.cpu == pytest.approx(0.75), "3 of 2 * 2 CPU seconds"
        assert report.memory == 0.25
        assert report.rps == pytest.approx(30.0), "15 per second in each of two processes"
        assert report.eps == pytest.approx(10.0)
        assert report.in_flight == 4.0
        assert report.application == 0.25
        assert report.latency == 0.5
    assert text.cost == 0.125
    assert math.isnan(body.cost)


def test_before_the_first_window_only_what_is_known_is_said() -> None:
    load = Load(window=3600.0)
    load.began()
    report = parse_header(load.text().encode())
    assert report is not None
    assert report.in_flight == 1.0
    assert all(math.isnan(value) for value in (report.cpu, report.rps, report.eps, report.latency, report.cost))


def test_the_usual_time_is_that_of_requests_with_as_many_beside_them() -> None:
    load = Load(window=3600.0)
    for _ in range(20):
        load.samples.append((1, 0.01))
        load.samples.append((20, 0.2))
    load.in_flight = 1
    assert (parse_body(load.json()) or pytest.fail("refused")).latency == 0.01
    load.in_flight, load._latency_due = 19, 0.0
    assert (parse_body(load.json()) or pytest.fail("refused")).latency == 0.2


def test_the_folder_may_be_copied(tmp_path: Path) -> None:
    """It is imported from another place, by a Python that has nothing installed."""
    copy = tmp_path / "reports_of_mine"
    copy.mkdir()
    for file in PACKAGE.glob("*.py"):
        (copy / file.name).write_text(file.read_text())
    code = "import sys, reports_of_mine.asgi, reports_of_mine.wsgi; print([m for m in sys.modules if m == 'proxy'])"
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, proxy.middleware.asgi, proxy.middleware.wsgi; "
        "print({m.partition('.')[0] for m in sys.modules} & {'asyncio', 'aiohttp', 'pydantic', 'uvloop', 'orjson'})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"
