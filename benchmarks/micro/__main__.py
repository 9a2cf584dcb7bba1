"""Run the micro-benchmarks: `python -m benchmarks.micro [--only TEXT] [--batches N] [--json FILE]`.

Ends with 1 if a case misses its mark and `--strict` is given.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import pkgutil
import sys
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .. import machine
from .harness import Case, Timing, time_case

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HARNESS = {"__main__", "harness"}
PIPED_WIDTH = 120


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    found = [(module, case) for module, case in cases() if options.only in f"{module}: {case.name}"]
    timings = [(module, time_case(case, options.batches)) for module, case in found]
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for each in tables(timings):
        console.print(each)
    if options.json:
        save(options.json, timings)
    return 1 if options.strict and not all(timing.met for _, timing in timings) else 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=__doc__)
    made.add_argument("--only", default="", help="cases whose `file: name` contains this")
    made.add_argument("--batches", type=int, default=50)
    made.add_argument("--json", type=Path)
    made.add_argument("--strict", action="store_true", help="end with 1 if a case misses its mark")
    return made


def cases() -> Iterator[tuple[str, Case]]:
    """Yield every case with the name of its module, which is the name of the file that it times."""
    package = sys.modules[__package__ or ""]
    for module in sorted(each.name for each in pkgutil.iter_modules(package.__path__)):
        if module not in HARNESS:
            for case in importlib.import_module(f"{__package__}.{module}").cases():
                yield module, case


def tables(timings: list[tuple[str, Timing]]) -> Iterator[Table]:
    """One of everything, and those of modules that make their own."""
    others = []
    for module, each in groupby(timings, itemgetter(0)):
        own = getattr(importlib.import_module(f"{__package__}.{module}"), "tables", None)
        if own is None:
            others += each
        else:
            yield from own([timing for _, timing in each])
    if others:
        yield table(others)


def table(timings: list[tuple[str, Timing]]) -> Table:
    made = Table("file", "case", title="nanoseconds per call", title_justify="left")
    for title in ("min", "median", "mark"):
        made.add_column(title, justify="right")
    for module, timing in timings:
        mark = "" if timing.mark is None else f"{timing.mark:,.0f} {'met' if timing.met else 'MISSED'}"
        made.add_row(module, timing.name, f"{timing.minimum:,.1f}", f"{timing.median:,.1f}", mark)
    return made


def save(path: Path, timings: list[tuple[str, Timing]]) -> None:
    rows = [{"file": module, **dataclasses.asdict(timing)} for module, timing in timings]
    path.write_text(json.dumps({"machine": machine.describe(), "cases": rows}, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
