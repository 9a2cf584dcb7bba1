"""The printed report: a table per load, machine, method, and all that went wrong or was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from .loads import LOADS
from .measure import DISTURBED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console

    from .results import Results, Run, Spread

# Below this the proxy was waiting for load or origin: requests/s then say less than CPU per request.
SATURATED = 0.95


def show(results: Results, console: Console) -> None:
    for load in results.loads():
        console.print(table(results, load))
    lines(console, "Versions", results.peers.items())
    lines(console, "Machine", results.machine.items())
    lines(console, "Method", results.method.items())
    lines(console, "Not installed", results.absent.items())
    lines(console, "Not measured", results.skipped.items())
    lines(
        console,
        "Failed",
        ((f"{run.load} {run.peer} round {run.round}", str(run.failure)) for run in results.failures()),
    )


def lines(console: Console, title: str, items: Iterable[tuple[str, str]]) -> None:
    rows = list(items)
    if rows:
        console.print(f"\n[bold]{title}[/bold]", highlight=False)
    for name, text in rows:
        console.print(f"  {escape(name)}: {escape(text)}", highlight=False, soft_wrap=True)


def table(results: Results, load: str) -> Table:
    """Return the table of one load; ratios are median (lowest-highest) over the rounds."""
    constant = LOADS[load].constant_rate
    columns = ("p50_us", "p99_us", "cpu_us") if constant else ("rate", "cpu_us", "p50_us", "p99_us")
    titles = {"rate": "requests/s", "cpu_us": "CPU us/request", "p50_us": "p50 us", "p99_us": "p99 us"}
    title = f"{load}: {LOADS[load].what}"
    made = Table("peer", title=title, title_justify="left", header_style="bold")
    for column in columns:
        made.add_column(titles[column], justify="right")
    ratio_columns = ("p99_us", "cpu_us") if constant else ("rate", "cpu_us", "p99_us")
    for column in ratio_columns:
        made.add_column(f"{titles[column].split()[0]} / {results.baseline}", justify="right")
    made.add_column("note")
    for peer in results.peers:
        runs = [run for run in results.runs if run.load == load and run.peer == peer]
        figures = [number(results.spread(load, peer, column), column) for column in columns]
        ratios = [ratio(results.ratio(load, peer, column)) for column in ratio_columns]
        made.add_row(peer, *figures, *ratios, note(runs, constant))
    for peer in results.absent:
        made.add_row(peer, *[""] * (len(columns) + len(ratio_columns)), "not installed")
    return made


def number(spread: Spread | None, column: str) -> str:
    if spread is None:
        return "-"
    return f"{spread.median:,.1f}" if column == "cpu_us" else f"{spread.median:,.0f}"


def ratio(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.median:.2f} ({spread.low:.2f}-{spread.high:.2f})"


def note(runs: list[Run], constant: bool) -> str:
    """Say what makes the figures of a row weaker than they look."""
    failed = sum(run.failure is not None for run in runs)
    good = [run for run in runs if run.failure is None]
    said = [] if runs else ["not measured"]
    if failed:
        said.append(f"{failed} of {len(runs)} FAILED")
    if good and not constant and max(run.peer_core_busy for run in good) < SATURATED:
        said.append(f"core {max(run.peer_core_busy for run in good):.0%} busy: bound by load or origin")
    if good and max(run.foreign for run in good) > DISTURBED:
        said.append(f"others took {max(run.foreign for run in good):.0%} of a core")
    return "; ".join(said)
