"""Qantara beside its peers: `python -m benchmarks.run`. It ends with 1 if any run failed; see README.md."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import chart, machine, report
from .loads import CONNECTIONS, LOADS, WARM_UP_SECONDS, Load
from .measure import DISTURBED, Bench, rounds
from .origin import serve
from .peers import PEERS, Peer, checkout
from .processes import raise_open_files
from .results import Results

if TYPE_CHECKING:
    from collections.abc import Sequence

LATEST = Path(__file__).parent / "results" / "latest.json"
OPEN_FILES = 20_000
# A peer is asked for a constant rate only if its own peak leaves this much room above it.
HEADROOM = 1.1
PIPED_WIDTH = 170
Row = TypeVar("Row")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    made.add_argument("--peers", default=",".join(PEERS), help="comma-separated; default: all")
    made.add_argument("--loads", default=",".join(LOADS), help="comma-separated; default: all")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=int, default=5, help="of one run")
    made.add_argument("--repeats", type=int, default=2, help="of a run while other work takes part of a core")
    made.add_argument("--quick", action="store_true", help="2 rounds of 1 second: to see that all works")
    made.add_argument("--baseline", default="nginx", help="the peer that ratios are taken to")
    made.add_argument(
        "--rate", type=float, help="requests/s of the load `half`; default: half the peak of the baseline"
    )
    made.add_argument("--cores", default="0,1", help="core of the proxy, core of load and origin")
    made.add_argument(
        "--before", type=Path, metavar="FOLDER", help="another checkout of this project, compiled, as a peer `before`"
    )
    made.add_argument("--json", type=Path, default=LATEST)
    made.add_argument("--chart", type=Path, help="write the chart of the small load as SVG")
    return made


def choose(text: str, table: dict[str, Row], what: str) -> list[Row]:
    unknown = [name for name in text.split(",") if name not in table]
    if unknown:
        raise SystemExit(f"unknown {what}: {', '.join(unknown)}; there are: {', '.join(table)}")
    return [table[name] for name in text.split(",")]


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if options.quick:
        options.rounds, options.seconds, options.repeats = 2, 1, 0
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    if options.before:
        PEERS["before"] = checkout(options.before)
    peers, loads = choose(options.peers, PEERS, "peer"), choose(options.loads, LOADS, "load")
    raise_open_files(OPEN_FILES)
    results = begin(options, peers)
    present = [peer for peer in peers if peer.name in results.peers]
    measure(options, results, present, loads)
    results.save(options.json)
    if options.chart:
        options.chart.write_text(chart.draw(results))
    report.show(results, console)
    if not results.runs:
        console.print("nothing was measured")
    return 1 if results.failures() or not results.runs else 0


def begin(options: argparse.Namespace, peers: Sequence[Peer]) -> Results:
    found = {peer.name: peer.installed() for peer in peers}
    return Results(
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        machine=machine.describe(),
        method=method(options),
        baseline=options.baseline,
        peers={name: text for name, (present, text) in found.items() if present},
        absent={name: text for name, (present, text) in found.items() if not present},
    )


def method(options: argparse.Namespace) -> dict[str, str]:
    own, other = options.cores.split(",")
    return {
        "cores": f"proxy on core {own}, one worker or thread; load and origin (nginx) on core {other}",
        "runs": f"{options.rounds} rounds of {options.seconds} s, peers in turn, one loaded at a time,"
        f" a first warm-up of {WARM_UP_SECONDS} s",
        "ratios": f"to {options.baseline}, taken round by round; median (lowest-highest)",
        "load": f"{CONNECTIONS} connections; wrk as fast as it is answered; `half`: constant rate, open loop,"
        " latency from the moment a request was due",
        "failure": "any answer but 2xx, socket error, time-out, wrong body, request unseen by the origin",
        "cpu": "user and system time of the proxy's processes over the requests that the origin saw",
        "disturbance": f"a run in which other work took over {DISTURBED:.0%} of a core is made again,"
        f" {options.repeats} times at most; the calmest counts, whatever its figures",
        "logs": "access logs off everywhere",
    }


def measure(options: argparse.Namespace, results: Results, peers: list[Peer], loads: list[Load]) -> None:
    own, other = (int(core) for core in options.cores.split(","))
    with tempfile.TemporaryDirectory(prefix="bench-") as name, progress() as bar:
        folder = Path(name)
        task = bar.add_task("", total=len(loads) * len(peers) * options.rounds)
        with serve(folder / "origin", other) as origin:
            bench = Bench(origin, folder, own, other, options.seconds, options.rounds, options.repeats)
            for load in loads:
                rate = constant_rate(options, results, bench) if load.constant_rate else 0.0
                obstacles = {peer.name: obstacle(results, load, peer, rate) for peer in peers}
                results.skipped |= {f"{load.name} {name}": why for name, why in obstacles.items() if why}
                able = [peer for peer in peers if not obstacles[peer.name]]
                for run in rounds(bench, load, able, rate):
                    results.runs.append(run)
                    bar.update(task, advance=1, description=f"{load.name} {run.peer} round {run.round}")


def constant_rate(options: argparse.Namespace, results: Results, bench: Bench) -> float:
    """Return the rate of the constant-rate load: as asked, or half of what the baseline reached."""
    if options.rate:
        return float(options.rate)
    peak = results.spread("small", results.baseline, "rate")
    if peak is None:
        trial = dataclasses.replace(bench, rounds=1)
        runs = list(rounds(trial, LOADS["small"], [PEERS[results.baseline]], 0.0))
        if runs[0].failure:
            raise SystemExit(f"no peak of {results.baseline} ({runs[0].failure}): give --rate")
        return round(runs[0].rate / 2)
    return round(peak.median / 2)


def obstacle(results: Results, load: Load, peer: Peer, rate: float) -> str | None:
    """Return why a load is not put on a peer: it is known to fail, or its peak is below the constant rate."""
    if load.peers and peer.name not in load.peers:
        return "is not configured for it"
    if load.name in peer.unfit:
        return peer.unfit[load.name]
    peak = results.spread("small", peer.name, "rate") if load.constant_rate else None
    if peak is None or peak.median > rate * HEADROOM:
        return None
    return f"its peak of {peak.median:,.0f}/s is too near to {rate:,.0f}/s"


def progress() -> Progress:
    """Return a progress bar on standard error, which vanishes and does not mix with the report."""
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())


if __name__ == "__main__":
    sys.exit(main())
