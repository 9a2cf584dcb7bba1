"""Ten million requests through one worker: `python -m benchmarks.soak`.

Two days of a quiet service in a quarter of an hour, with health checks, rate limits, breaker, adaptive limit, hedging
and metrics on, and a connection that is new now and then. Memory and open files may not grow.

Law of this file: what is compared is the state after the first tenth and at the end, both at rest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from proxy.console.admin_client import ask
from proxy.server.runtime_paths import RuntimePaths

from .origin import serve
from .processes import free_port

PAGE = os.sysconf("SC_PAGE_SIZE")
GROWTH = 0.01
"""The share that memory may be higher at the end: what an allocator does not give back at the same moment."""
COMPARED = ("worker KiB", "supervisor KiB", "worker files", "supervisor files", "open", "in flight")
CONFIG = """
listeners: [{{bind: '127.0.0.1:{port}'}}]
access_log: null
rate_limits: {{per-client: {{rate: 1000000/s}}}}
shedding: {{lag: 5s}}
upstreams:
  app:
    backends: ['127.0.0.1:{origin}']
    health: {{path: /json}}
    breaker: {{}}
    concurrency: {{}}
    limits: {{queue_timeout: 10s, queue_target: 10s}}  # a load without pause always waits: that is no failure here
    retry: {{hedge: {{}}}}
routes: [{{upstream: app, rate_limits: [per-client]}}]
"""


def state(control: Path, supervisor: int) -> dict[str, Any]:
    """Memory (KiB) and open files of both processes."""
    worker = ask(control, "GET", "/status")[1]["workers"][0]["pid"]
    found: dict[str, Any] = {"worker": worker}
    for name, pid in (("worker", worker), ("supervisor", supervisor)):
        found[f"{name} KiB"] = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE // 1024
        found[f"{name} files"] = len(os.listdir(f"/proc/{pid}/fd"))
    numbers = ask(control, "GET", "/top")[1]
    found |= {"requests": numbers["requests"], "open": numbers["connections"], "in flight": numbers["in_flight"]}
    return found | {"reasons": numbers["reasons"]}


def load(port: int, seconds: float) -> int:
    """Failed requests of so many seconds of wrk."""
    command = ["wrk", "-t1", "-c64", f"-d{seconds:.0f}s", f"http://127.0.0.1:{port}/json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
    return int(wrong[1] if wrong else 0) + sum(map(int, lost.groups() if lost else ()))


def run(options: argparse.Namespace, folder: Path, origin_port: int) -> dict[str, Any]:
    port, config = free_port(), folder / "qantara.yaml"
    config.write_text(CONFIG.format(port=port, origin=origin_port))
    proxy = subprocess.Popen(
        [sys.executable, "-m", "proxy", "run", "-c", str(config), "--run-dir", str(folder)], stderr=subprocess.PIPE
    )
    assert proxy.stderr is not None
    while b"1 workers" not in proxy.stderr.readline():
        if proxy.poll() is not None:
            raise SystemExit("the proxy does not start")
    control = RuntimePaths(folder, str(config)).control
    states, failed = [], 0
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("requests", total=options.requests)
        done = 0
        while done < options.requests:
            failed += load(port, options.part)
            time.sleep(1.5)  # at rest: clients have left, pools and metrics have settled
            states.append(state(control, proxy.pid))
            done = states[-1]["requests"]
            progress.update(task, completed=done)
    proxy.terminate()
    proxy.wait(60)
    first, last = states[len(states) // 10], states[-1]
    most = {name: first[name] * (1 + GROWTH * name.endswith("KiB")) for name in COMPARED}
    wrong = [f"{name}: {first[name]} -> {last[name]}" for name in COMPARED if last[name] > most[name]]
    if first["worker"] != last["worker"]:
        wrong.append("the worker was replaced")
    if failed:
        wrong.append(f"{failed} requests failed, {last['reasons']}")
    return {"first": first, "last": last, "failed": failed, "wrong": wrong}


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    made.add_argument("--requests", type=int, default=10_000_000)
    made.add_argument("--part", type=float, default=20.0, help="seconds between two looks")
    made.add_argument("--json", type=Path)
    options = made.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, serve(Path(folder) / "o", 1) as origin:
        found = run(options, Path(folder), origin.port)
    table = Table(title="FAILED: " + "; ".join(found["wrong"]) if found["wrong"] else "nothing has grown")
    for heading in ("", "after the first tenth", "at the end"):
        table.add_column(heading, justify="right" if heading else "left")
    for name in found["first"]:
        table.add_row(name, str(found["first"][name]), str(found["last"][name]))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
