"""`python -m tests.chaos.suite [WORDS]`: play the scenarios, or those with WORDS in their name, and print the table."""

from __future__ import annotations

import sys
import time

import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from .scenario import Scenario, Verdict
from .table import SECTIONS


async def play(words: str) -> list[tuple[str, Scenario, Verdict, float]]:
    chosen = [(section, each) for section, all_ in SECTIONS.items() for each in all_ if words in each.name]
    found = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("scenarios", total=len(chosen))
        for section, scenario in chosen:
            progress.update(task, description=scenario.name[:40])
            began = time.monotonic()
            try:
                verdict = await scenario.play()
            except Exception as error:  # one that breaks is one that fails
                verdict = Verdict((f"it could not be played: {error!r}",), "")
            found.append((section, scenario, verdict, time.monotonic() - began))
            progress.advance(task)
    return found


def main() -> int:
    found = uvloop.run(play(" ".join(sys.argv[1:])))
    console = Console(width=None if sys.stdout.isatty() else 220)
    table = Table(title="what happens to the proxy, and what must hold", show_lines=console.is_terminal)
    for name in ("", "scenario", "what happens", "what must hold", "clients saw", "s", "verdict"):
        table.add_column(name, justify="right" if name == "s" else "left")
    section = ""
    for where, scenario, verdict, seconds in found:
        result = "[green]passed" if verdict.passed else f"[red]FAILED[/red]: {'; '.join(verdict.wrong)}"
        shown = where if where != section else ""
        load = f"{scenario.load.described()}; {scenario.what_happens}" if scenario.steps else scenario.load.described()
        table.add_row(shown, scenario.name, load, scenario.criterion, verdict.seen, f"{seconds:.1f}", result)
        section = where
    console.print(table)
    failed = [scenario.name for _, scenario, verdict, _ in found if not verdict.passed]
    console.print(f"{len(found) - len(failed)} of {len(found)} scenarios passed")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
