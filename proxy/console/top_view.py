"""`qantara top`: what a proxy is doing, in the terminal.

Law of this file: rates are differences of two looks; all that it shows comes from the admin API.
"""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable
from typing import Any, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..errors import ControlError
from ..metrics import Histogram

Told = dict[str, Any]
Ask = Callable[[str], tuple[int, Any]]
"""GET of a path of the admin API: status and JSON."""
COLOURS = {"ready": "green", "drain": "yellow", "maint": "yellow", "ejected": "red", "down": "red"}
MOST_BACKENDS = 20


class Look(NamedTuple):
    """The numbers at one moment, and the top talkers."""

    numbers: Told
    clients: list[Told]
    paths: list[Told]


def look(ask: Ask) -> Look:
    """Raises ControlError."""
    found = []
    for path in ("/top", "/top/talkers?by=client&limit=5", "/top/talkers?by=path&limit=5"):
        status, told = ask(path)
        if status != 200:
            raise ControlError(f"{path} was answered with {status}: {told.get('detail', told)}")
        found.append(told)
    return Look(*found)


def show_top(ask: Ask, interval: float, once: bool) -> int:
    """Shows it until Ctrl-C, or once. Returns the exit code; raises ControlError."""
    console = Console()
    before = look(ask)
    time.sleep(min(interval, 1.0))
    now = look(ask)
    if once or not console.is_terminal:
        console.print(page(before, now))
        return 0
    try:
        with Live(page(before, now), console=console, screen=True, auto_refresh=False) as live:
            while True:
                time.sleep(interval)
                before, now = now, look(ask)
                live.update(page(before, now), refresh=True)
    except KeyboardInterrupt:
        return 0


def page(before: Look, now: Look) -> Group:
    """One screen."""
    return Group(
        _summary(before.numbers, now.numbers),
        _workers(before.numbers, now.numbers),
        *(_upstream(before.numbers, now.numbers, each) for each in now.numbers["upstreams"]),
        _talkers("client", now.clients),
        _talkers("path", now.paths),
    )


def _summary(before: Told, now: Told) -> Text:
    seconds = now["at"] - before["at"]
    done = max(1, now["requests"] - before["requests"])
    rate = (now["requests"] - before["requests"]) / seconds
    failed = now["statuses"]["5xx"] - before["statuses"]["5xx"]
    p50, p99 = (_quantile(before["seconds"], now["seconds"], part) for part in (0.5, 0.99))
    news = {name: count - before["reasons"].get(name, 0) for name, count in now["reasons"].items()}
    told = ", ".join(f"{name} {count / seconds:.1f}/s" for name, count in news.items() if count)
    return Text(
        f"{rate:,.0f} requests/s, {failed / done:.2%} errors, p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, "
        f"{now['in_flight']} in flight, {now['connections']} connections, "
        f"{(now['bytes_out'] - before['bytes_out']) / seconds / 1e6:.1f} MB/s out" + (f"\n{told}" if told else ""),
        style="bold",
    )


def _quantile(before: list[int], now: list[int], part: float) -> float:
    return Histogram(array("q", [after - was for was, after in zip(before, now, strict=True)])).quantile(part)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for number, name in enumerate(columns):
        table.add_column(name, justify="right" if number > 1 else "left", no_wrap=True)
    return table


def _workers(before: Told, now: Told) -> Table:
    table = _table("worker", "state", "pid", "cpu", "memory", "up", "restarts")
    used = {each["pid"]: each["cpu_seconds"] for each in before["workers"]}
    for each in now["workers"]:
        cpu = (each["cpu_seconds"] - used.get(each["pid"], each["cpu_seconds"])) / (now["at"] - before["at"])
        memory = f"{each['memory'] / 2**20:.0f} MiB"
        row = (str(each["pid"]), f"{cpu:.0%}", memory, f"{each['seconds']:.0f} s", str(each["restarts"]))
        table.add_row(str(each["slot"]), each["state"], *row)
    return table


def _upstream(before: Told, now: Told, upstream: Told) -> Table:
    table = _table(f"upstream {upstream['name']}", "state", "requests/s", "in flight", "failures", "retries", "mean")
    seconds = now["at"] - before["at"]
    earlier = next((each for each in before["upstreams"] if each["name"] == upstream["name"]), upstream)
    known = {each["address"]: each for each in earlier["backends"]}
    ranked = sorted(upstream["backends"], key=lambda each: (each["state"] == "ready", -each["in_flight"]))
    for each in ranked[:MOST_BACKENDS]:
        was = known.get(each["address"], each)
        rate = (each["requests"] - was["requests"]) / seconds
        mean = f"{each['mean_seconds'] * 1e3:.1f} ms" if each["mean_seconds"] is not None else ""
        state = Text(each["state"], style=COLOURS.get(each["state"], ""))
        row = (f"{rate:,.0f}", str(each["in_flight"]), str(each["failures"]), str(each["retries"]), mean)
        table.add_row(each["address"], state, *row)
    if len(ranked) > MOST_BACKENDS:
        table.add_row(f"and {len(ranked) - MOST_BACKENDS} more", "")
    queued = f"{upstream['queued']} queued" + (", panic" if upstream["panic"] else "")
    if upstream["breaker_open_seconds"]:
        queued += f", breaker open for {upstream['breaker_open_seconds']:.0f} s"
    table.caption, table.caption_justify = queued, "left"
    return table


def _talkers(by: str, rows: list[Told]) -> Table:
    table = _table(by, "", "share", "errors")
    for each in rows:
        table.add_row(each[by][:60], "", f"{each['share']:.1%}", f"{each['errors']:.1%}")
    return table


def run_top(ask: Ask, interval: float, once: bool) -> int:
    """As `show_top`, and prints errors. Returns the exit code."""
    try:
        return show_top(ask, interval, once)
    except ControlError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
