"""The loads: what is asked of a proxy, and the two generators that ask it.

wrk drives a proxy as hard as it answers (closed loop). openloop.c, compiled on first use, sends at a
constant rate and counts a latency from the moment the request was due. Law of this file: anything but a 2xx
response, any socket error, any time-out and any request left unanswered makes the run a failure.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
CONNECTIONS = 64
WARM_UP_SECONDS = 1
# With Host these are the eleven header fields of a browser's request.
BROWSER = {
    "Connection": "keep-alive",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.7,ar;q=0.3",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "http://shop.example/catalogue/bridges?page=2",
    "Cookie": "session=5f2b1c9e8d7a4f60b3c2a1908f7e6d5c; theme=dark; consent=1",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    what: str
    path: str
    upload: int = 0
    new_connections: bool = False
    constant_rate: bool = False
    peers: tuple[str, ...] = ()
    """The peers that are configured for it; all without any."""

    def headers(self) -> dict[str, str]:
        return {**BROWSER, "Connection": "close"} if self.new_connections else BROWSER


LOCAL = ("qantara", "qantara+all", "before", "nginx", "nginx+headers", "haproxy")
LOADS: dict[str, Load] = {
    load.name: load
    for load in (
        Load("small", "134-byte JSON, 11 request headers", "/json"),
        Load("16k", "16 KiB response", "/16k"),
        Load("1m", "1 MiB response", "/1m"),
        Load("fixed", "fixed response of 5 bytes, no backend", "/fixed", peers=LOCAL),
        Load("moved", "redirect, no backend", "/moved", peers=LOCAL),
        Load("post", "POST of 64 KiB", "/post", upload=64 * 1024),
        Load("connect", "134-byte JSON, new connection per request", "/json", new_connections=True),
        Load("half", "134-byte JSON at half of the baseline's peak rate", "/json", constant_rate=True),
    )
}


class LoadFailed(RuntimeError):
    """The generator did not end as it should, or an answer was not a success."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a generator saw; latencies in microseconds."""

    requests: int
    seconds: float
    p50_us: float
    p99_us: float
    max_us: float


def drive(load: Load, port: int, seconds: int, core: int, rate: float) -> Outcome:
    """Put a load on a port of this machine; rate (requests/s) is for a constant-rate load."""
    if load.constant_rate:
        return drive_openloop(load, port, seconds, core, rate)
    return drive_wrk(load, port, seconds, core)


def drive_wrk(load: Load, port: int, seconds: int, core: int) -> Outcome:
    headers = [part for name, value in load.headers().items() for part in ("-H", f"{name}: {value}")]
    argv = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(HERE / "load.lua"),
    ]
    output = run_generator(
        [*argv, *headers, f"http://127.0.0.1:{port}{load.path}"],
        core,
        env={"LOAD_BODY_BYTES": str(load.upload)},
    )
    lines = [line for line in output.splitlines() if line.startswith("SUMMARY ")]
    if not lines:
        raise LoadFailed(f"wrk gave no summary: {output.strip()[-200:]}")
    return read_wrk(json.loads(lines[0].removeprefix("SUMMARY ")))


def read_wrk(summary: dict[str, float]) -> Outcome:
    wrong = {kind: int(summary[kind]) for kind in ("connect", "read", "write", "timeout", "status") if summary[kind]}
    if wrong:
        raise LoadFailed("wrk counted errors: " + ", ".join(f"{kind} {number}" for kind, number in wrong.items()))
    return outcome(summary)


def outcome(summary: dict[str, float]) -> Outcome:
    if not summary["requests"]:
        raise LoadFailed("no request was answered")
    return Outcome(
        requests=int(summary["requests"]),
        seconds=summary["seconds"],
        p50_us=summary["p50_us"],
        p99_us=summary["p99_us"],
        max_us=summary["max_us"],
    )


def drive_openloop(load: Load, port: int, seconds: int, core: int, rate: float) -> Outcome:
    fields = "".join(f"{name}: {value}\r\n" for name, value in load.headers().items())
    request = f"GET {load.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n".encode()
    argv = [openloop(), str(port), f"{rate:.1f}", str(CONNECTIONS), str(WARM_UP_SECONDS), str(seconds)]
    summary: dict[str, float] = json.loads(run_generator(argv, core, request))
    if summary["errors"] or summary["unanswered"]:
        raise LoadFailed(f"{summary['errors']} errors, {summary['unanswered']} of {summary['due']} left unanswered")
    return outcome(summary)


def run_generator(argv: Sequence[str], core: int, request: bytes = b"", env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        ["taskset", "-c", str(core), *argv],
        input=request,
        capture_output=True,
        env={**os.environ, **(env or {})},
        timeout=600,
        check=False,
    )
    if done.returncode != 0:
        raise LoadFailed(f"{argv[0]} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-200:]}")
    return done.stdout.decode()


@functools.cache
def openloop() -> str:
    """Compile the constant-rate generator and return its path."""
    folder = Path(tempfile.mkdtemp(prefix="openloop-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = folder / "openloop"
    subprocess.run(
        [os.environ.get("CC", "cc"), "-O2", "-o", str(program), str(HERE / "openloop.c")],
        check=True,
        timeout=120,
    )
    return str(program)
