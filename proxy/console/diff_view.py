"""`qantara diff` on the screen: a table for people, plain lines for a pipe, and the exit code.

Law of this file: exit codes are those of diff(1): 0 nothing changes, 1 something does, 2 the comparison failed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..configuration.diff import Diff, diff_against
from ..configuration.effects import ConfigChange
from ..configuration.load import load
from ..errors import ConfigError
from .admin_client import ask

SIGNS = {"added": "+", "removed": "-", "changed": "~", "moved": ">"}
COLOURS = {"added": "green", "removed": "red", "changed": "yellow", "moved": "cyan"}


def show_diff(old: str, new: str) -> int:
    """Compares two files and prints what a reload from the one to the other would change. Returns the exit code."""
    try:
        found = diff_against(load(old).config, new)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return 2
    print_diff(found, Console())
    return 1 if found else 0


def show_running_diff(control: Path) -> int:
    """Asks the proxy at this control socket what a reload would change. Returns the exit code; raises ControlError."""
    status, told = ask(control, "POST", "/diff")
    for problem in told.get("problems", ()):
        print(problem, file=sys.stderr)
    if status != 200:
        return 2
    found = Diff(tuple(ConfigChange(**change) for change in told["changes"]))
    print_diff(found, Console())
    return 1 if found else 0


def print_diff(diff: Diff, console: Console) -> None:
    """A coloured table on a terminal, else a line for each change and each sentence of the summary."""
    if not console.is_terminal:
        encoding = console.encoding
        for line in lines(diff):
            print(line.encode(encoding, "backslashreplace").decode(encoding), file=console.file)
        return
    if diff:
        console.print(table(diff))
    for sentence in diff.summary:
        console.print(Text(sentence))


def lines(diff: Diff) -> Iterator[str]:
    """Plain text: the sign, what, the values, and the effect in parentheses."""
    for change in diff.changes:
        values = values_of(change)
        yield f"{SIGNS[change.action]} {change.what}{': ' if values else ''}{values} ({change.effect})"
    yield from (f"# {sentence}" for sentence in diff.summary)


def values_of(change: ConfigChange) -> str:
    if change.before and change.after:
        return f"{change.before} -> {change.after}"
    return change.before or change.after


def table(diff: Diff) -> Table:
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "what", "from", "to", "effect"):
        found.add_column(heading, overflow="fold")
    for change in diff.changes:
        cells = (SIGNS[change.action], change.what, change.before, change.after, change.effect)
        found.add_row(*map(Text, cells), style=COLOURS[change.action])  # as text: brackets are no markup
    return found
