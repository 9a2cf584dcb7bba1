"""`python -m benchmarks.simulation`: policies side by side in simulated fleets, as tables, JSON and plots."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.box import ASCII, ROUNDED
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..machine import describe
from .plots import draw
from .policies import rows
from .runs import Plan, Run, results
from .scenarios import SCENARIOS
from .summary import Outcome
from .tables import HEAD, Cell, Situation, collect, digest, has, lines, load, markdown, save, title

RESULTS = Path(__file__).resolve().parents[1] / "results"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    words = lambda text: text.split(",")  # noqa: E731
    numbers = lambda text: [float(each) for each in text.split(",")]  # noqa: E731
    parser.add_argument("--scenarios", type=words, default=["S1"], help=f"of {', '.join(SCENARIOS)}; or all")
    parser.add_argument("--levels", type=numbers, default=[], help="loads; usual for the scenario if not given")
    parser.add_argument("--proxies", type=lambda text: [int(each) for each in text.split(",")], default=[1, 8, 30])
    parser.add_argument("--policies", type=words, default=[], help=f"of {', '.join(rows())}")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="measured, after the warm-up")
    parser.add_argument("--warm-up", type=float, default=15.0)
    parser.add_argument("--probe-delay", type=float, default=0.0, help="seconds to a backend and back")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="one seed, 10 s, one and eight proxies")
    parser.add_argument("--out", type=Path, default=RESULTS / "simulation.json")
    parser.add_argument("--resume", action="store_true", help="keep what is in --out, run what is missing there")
    parser.add_argument("--show", type=Path, help="only show (and draw) what a file of results holds")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--digest", action="store_true", help="print one line of Markdown for each situation")
    parser.add_argument("--plot", type=Path, help="draw p99 over load for each number of proxies: FOLDER")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    found = load(options.show) if options.show else simulate(options)
    if options.digest:
        print(digest(found), end="")
    elif options.markdown:
        print(markdown(found), end="")
    else:
        show(found)
    if options.plot:
        for path in draw(found, options.plot):
            print(path, file=sys.stderr)


def simulate(options: argparse.Namespace) -> dict[Situation, list[Cell]]:
    if options.quick:
        options.seeds, options.seconds, options.warm_up, options.proxies = 1, 10.0, 5.0, [1, 8]
    scenarios = list(SCENARIOS) if options.scenarios == ["all"] else options.scenarios
    plan = Plan(
        *(scenarios, options.levels, options.proxies, options.policies),
        *(options.seeds, options.warm_up, options.seconds, options.probe_delay),
    )
    about = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe(),
        "plan": plan._asdict(),
    }
    before = load(options.out) if options.resume and options.out.exists() else {}
    runs = [run for run in plan.runs() if not has(before, run)]
    done: list[tuple[Run, Outcome]] = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("runs", total=len(runs))
        for result in results(runs, options.processes):
            done.append(result)
            progress.update(task, advance=1, description=title_of(result[0]))
            save(options.out, collect(done, before), about)  # what is there stays if it is interrupted
    return collect(done, before)


def title_of(run: Run) -> str:
    return f"{run.scenario} {run.level:g} x, {run.proxies} proxies, seed {run.seed}, {run.policy}"


def show(found: dict[Situation, list[Cell]]) -> None:
    piped = not sys.stdout.isatty()
    console = Console(width=150 if piped else None)
    for at, cells in found.items():
        words = f"{title(at)}: {SCENARIOS[at.scenario].title}"
        table = Table(*HEAD, title=words, title_justify="left", box=ASCII if piped else ROUNDED)
        for line in lines(cells):
            table.add_row(*line, style="bold" if line[0].startswith("ai_scored") else None)
        console.print(table)


if __name__ == "__main__":
    main()
