"""The load of an app server: from the kernel, and from its requests.

Law of this file: values that cannot be measured are left out, without an exception. Reports are those of ORCA (Open
Request Cost Aggregation, github.com/cncf/xds), which Envoy and gRPC read as well.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from threading import Lock
from typing import Any

HEADER = "endpoint-load-metrics"
PATH = "/load"
FORWARDING = ("via", "forwarded", "x-forwarded-for")
"""Headers of requests that a proxy forwards for a client: the report is not for clients."""
SAMPLES = 64
"""The window of response times, in responses."""
LATENCY_FOR = 0.01
"""The interval in which the median of response times is computed, in seconds."""
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
UNLIMITED = float(1 << 60)
"""The number of bytes from which on a limit is none."""

Number = float | None


class Machine:
    """CPU and memory that this app may use, and their used parts.

    Those of its control group, if that has a limit, which covers the whole container. Else those of the machine: of the
    cores that this process may run on, with the load of other processes, which is not available to this one.
    """

    def __init__(self, root: str = "/") -> None:
        self.root = Path(root)
        self.cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.groups = self._groups()
        self.quota, self.cpu_group = tightest((self._quota(group), group) for group in self.groups)
        limits = ((self._number(group, "memory.max", "memory.limit_in_bytes"), group) for group in self.groups)
        self.memory_limit, self.memory_group = tightest(limits)

    def cpu(self) -> tuple[float, float]:
        """CPU seconds used so far, and those available per second."""
        if self.cpu_group is not None:
            return self._group_seconds(self.cpu_group), self.quota
        busy = self._busy_seconds()
        if busy is not None:
            return busy, float(len(self.cores))
        times = os.times()
        return times.user + times.system, float(len(self.cores) or os.cpu_count() or 1)

    def memory(self) -> Number:
        """The used part of memory; None if it cannot be measured."""
        if self.memory_group is not None:
            used = self._number(self.memory_group, "memory.current", "memory.usage_in_bytes")
            cache = self._field(self.memory_group / "memory.stat", ("inactive_file", "total_inactive_file"))
            return min(1.0, max(0.0, used - cache) / self.memory_limit) if used else None
        total = self._field(self.root / "proc/meminfo", ("MemTotal:",))
        free = self._field(self.root / "proc/meminfo", ("MemAvailable:",))
        return 1.0 - free / total if total and free else None

    def _groups(self) -> list[Path]:
        """The folders of this process's control groups, the innermost first, of version 2 or 1."""
        base = self.root / "sys/fs/cgroup"
        found: list[Path] = []
        for line in self._read(self.root / "proc/self/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            top = base / controllers if controllers else base
            inner = top / path.lstrip("/")
            found += [inner, *(each for each in inner.parents if top in (each, *each.parents))]
        return list(dict.fromkeys(found))

    def _quota(self, group: Path) -> float:
        """The cores that a control group may use; 0 for all."""
        words = self._read(group / "cpu.max").split()
        if len(words) == 2 and words[0] != "max":
            return int(words[0]) / int(words[1])
        quota, period = self._number(group, "cpu.cfs_quota_us"), self._number(group, "cpu.cfs_period_us")
        return quota / period if quota > 0 and period > 0 else 0.0

    def _group_seconds(self, group: Path) -> float:
        micros = self._field(group / "cpu.stat", ("usage_usec",))
        return micros / 1e6 or self._number(group, "cpuacct.usage") / 1e9

    def _busy_seconds(self) -> Number:
        """CPU seconds of the cores of this process since the start of the machine; None without /proc/stat."""
        busy, mine = 0, {f"cpu{core}" for core in self.cores}
        for line in self._read(self.root / "proc/stat").splitlines():
            name, *words = line.split()[:9]
            if name in mine:
                user, nice, system, _idle, _waiting, *interrupts = map(int, words)
                busy += user + nice + system + sum(interrupts)
        return busy / TICKS if busy else None

    def _number(self, group: Path, *names: str) -> float:
        for name in names:
            text = self._read(group / name).strip()
            if text.lstrip("-").isdigit():
                return float(text)
        return 0.0

    def _field(self, file: Path, names: tuple[str, ...]) -> float:
        for line in self._read(file).splitlines():
            words = line.split()
            if words and words[0] in names:
                return float(words[1])
        return 0.0

    def _read(self, file: Path) -> str:
        try:
            return file.read_text()
        except OSError:
            return ""


def tightest(limits: Iterable[tuple[float, Path]]) -> tuple[float, Path | None]:
    """The least limit; those that are none do not count."""
    return min((found for found in limits if 0 < found[0] < UNLIMITED), default=(0.0, None))


class Load:
    """The load of this process. Rates are those of the latest complete `window` (seconds).

    `concurrency`: requests that the process can work on at a time, for `application_utilization`. `processes`: their
    number at the same address; each counts its own requests only, and reports that count times `processes`.
    """

    def __init__(
        self, concurrency: int = 0, processes: int = 1, window: float = 1.0, machine: Machine | None = None
    ) -> None:
        self.concurrency = concurrency
        self.processes = processes
        self.window = window
        self.machine = machine or Machine()
        self.in_flight = 0
        self.done = 0
        self.failed = 0
        self.samples: deque[tuple[int, float]] = deque(maxlen=SAMPLES)
        """Of the latest responses: requests in flight when its request came, and seconds until the response began."""
        self.measured: dict[str, float] = {}
        self.written = ""
        """The measured values as text."""
        self.latency: Number = None
        self._latency_due = 0.0
        self._lock = Lock()
        self._since = time.monotonic()
        self._before = (*self.machine.cpu(), self.done, self.failed)

    def began(self) -> int:
        """Count the begin of a request. Returns the requests in flight, this one included."""
        with self._lock:
            self.in_flight += 1
            return self.in_flight

    def ended(self, beside: int, seconds: float, failed: bool) -> None:
        """Count the end of a request; `beside`: the result of `began`, `seconds`: the time until its response began."""
        with self._lock:
            self.in_flight -= 1
            self.done += 1
            self.failed += failed
            self.samples.append((beside, seconds))

    def text(self, cost: Number = None) -> str:
        """The report as the value of the header; `cost` are the CPU seconds of one request."""
        now = self._now()
        words = f"TEXT {self.written}named_metrics.rif={now['rif']:.0f}"
        if "latency" in now:
            words += f", named_metrics.latency={now['latency']:.6f}"
        if self.concurrency:
            words += f", application_utilization={self.in_flight / self.concurrency:.4f}"
        if cost is not None:
            words += f", request_cost.cpu={max(0.0, cost):.6f}"
        return words

    def json(self) -> bytes:
        """The report as JSON."""
        now = self._now()
        found: dict[str, Any] = {**self.measured, "named_metrics": now}
        if self.concurrency:
            found["application_utilization"] = self.in_flight / self.concurrency
        return json.dumps(found).encode()

    def _now(self) -> dict[str, float]:
        """Requests in flight, and the median time with that many; values that are due are measured again."""
        with self._lock:
            now = time.monotonic()
            if now - self._since >= self.window:
                self._measure(now)
            if now >= self._latency_due:
                self._latency_due = now + LATENCY_FOR
                self.latency = self._usual_latency()
            found: dict[str, float] = {"rif": self.in_flight * self.processes}
            if self.latency is not None:
                found["latency"] = self.latency
            return found

    def _measure(self, now: float) -> None:
        """Measure the values of a complete window."""
        used, cores, done, failed = after = (*self.machine.cpu(), self.done, self.failed)
        before, seconds = self._before, now - self._since
        self._before, self._since = after, now
        self.measured = {
            "cpu_utilization": max(0.0, used - before[0]) / (cores * seconds),
            "rps_fractional": (done - before[2]) / seconds * self.processes,
            "eps": (failed - before[3]) / seconds * self.processes,
        }
        memory = self.machine.memory()
        if memory is not None:
            self.measured["mem_utilization"] = memory
        self.written = "".join(f"{name}={value:.6f}, " for name, value in self.measured.items())

    def _usual_latency(self) -> Number:
        """The median time of responses with about as many requests in flight at their begin as now (Prequal)."""
        about = max(1, self.in_flight // 4)
        near = [seconds for beside, seconds in self.samples if abs(beside - self.in_flight) <= about]
        times = near or [seconds for _, seconds in self.samples]
        return median(times) if times else None
