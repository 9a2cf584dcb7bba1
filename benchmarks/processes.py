"""Processes pinned to a core, and what /proc says about them.

Law of this file: whatever is started here is stopped here, by its own process group; readiness is a
connection that was accepted, never a pause. Times are in seconds, sizes in bytes.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 20.0
STOP_SECONDS = 10.0
Address = tuple[str, int]


class NotReady(RuntimeError):
    """A process ended, or did not accept connections in time."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_open_files(wanted: int) -> int:
    """Raise the limit of open files (children inherit it) and return what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return soft
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def running(
    argv: Sequence[str], core: int, address: Address, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on one core while the block lasts; it accepts connections when the block starts."""
    with log.open("wb") as output:
        process = spawn(argv, core, output, env)
        try:
            await_connection(process, address, log)
            yield process
        finally:
            stop(process)


def spawn(
    argv: Sequence[str], core: int, output: IO[bytes], env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process, pinned to a core, as the leader of its own group."""
    return subprocess.Popen(
        ["taskset", "-c", str(core), *argv],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )


def await_connection(process: subprocess.Popen[bytes], address: Address, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not accepts(address):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            raise NotReady(f"ended with status {process.returncode}: {tail(log)}")
        if time.monotonic() > deadline:
            raise NotReady(f"accepts no connection after {START_SECONDS:.0f} s: {tail(log)}")


def accepts(address: Address) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(address) == 0


def tail(log: Path) -> str:
    """Return the last line that a process wrote."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][-300:] if lines else "it wrote nothing"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and every child of its group."""
    signal_group(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        signal_group(process.pid, signal.SIGKILL)
        process.wait()
    else:
        signal_group(process.pid, signal.SIGKILL)


def signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def tree(root: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def stat_fields(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third (state) on; nothing if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def cpu_seconds(root: int) -> float:
    """Return the CPU time, user and system, that a process, its descendants and its dead children used."""
    ticks = 0
    for pid in tree(root):
        if fields := stat_fields(pid):
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def finished_cpu_seconds() -> float:
    """Return the CPU time of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def core_busy_seconds(core: int) -> float:
    """Return how long a core has not been idle since boot, whoever used it, the hypervisor included."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = map(int, fields)
            return (user + nice + system + irq + softirq + steal) / TICKS
    raise LookupError(f"no core {core}")


def memory(root: int) -> tuple[int, int]:
    """Return the resident and the proportional set size of a process and its descendants."""
    resident = proportional = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    resident += int(line.split()[1]) * 1024
                elif line.startswith("Pss:"):
                    proportional += int(line.split()[1]) * 1024
    return resident, proportional
