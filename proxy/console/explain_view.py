"""`qantara explain` on the screen: a tree for people, the same lines plainly for a pipe, or JSON.

Law of this file: exit codes are 0 if the request would be served, 1 if it would be refused, 2 without an explanation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..configuration.compile import compile_plan
from ..configuration.load import load
from ..control.explain import explain, parse_client, request_bytes
from ..errors import ControlError
from .admin_client import ask

Told = dict[str, Any]
PICKS = 3
"""Recent picks that are shown."""


def ask_or_explain(control: Path | None, config: str, question: Told) -> Told:
    """Asks the proxy at a control socket; without one, goes by the file. Raises QantaraError or ValueError."""
    if control is None:
        request = request_bytes(question["method"], question["url"], question["headers"])
        try:
            client = parse_client(question["client"])
        except ValueError as error:
            raise ValueError(f"client: {error}") from None
        loaded = load(config)
        return explain(loaded.config, compile_plan(loaded.config, loaded.report), request, client)
    status, told = ask(control, "POST", "/explain", question)
    if status != 200:
        raise ControlError(told.get("detail", "the proxy refused to answer"))
    return dict(told)


def show_explanation(told: Told, as_json: bool) -> int:
    """Prints it. Returns the exit code."""
    if as_json:
        print(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console()
        if console.is_terminal:
            console.print(tree(told))
        else:
            for depth, line, _ in lines(told):
                print("  " * depth + line, file=console.file)
    return 1 if "refused" in told else 0


def tree(told: Told) -> Tree:
    """A tree with what counts in colour."""
    rows = list(lines(told))
    root = Tree(Text(rows[0][1], style="bold"))
    branches = [root]
    for depth, line, style in rows[1:]:
        del branches[depth:]
        branches.append(branches[depth - 1].add(Text(line, style=style)))
    return root


def lines(told: Told) -> Iterator[tuple[int, str, str]]:
    """Depth, text and style of each line."""
    if "request" in told:
        request = told["request"]
        yield 0, f"{request['method']} {request['path']} for host {request['host']} from {request['client']}", ""
    else:
        yield 0, "what was given", ""
    for route in told.get("routes", ()):
        yield 1, f"route {route['route']}: {_route_words(route)}", "green" if route.get("chosen") else "dim"
    if "tracing" in told:
        yield 1, _tracing_words(told["tracing"]), ""
    for limit in told.get("rate_limits", ()):
        left = f", {limit['left']} of {limit['burst']} left" if "left" in limit else ""
        words = f"counts{left}" if limit["limited"] else "does not count: the key is missing"
        yield 1, f"rate limit {limit['name']}: {words}", ""
    if "redirect" in told:
        yield 1, f"answers {told['redirect']['status']}, Location: {told['redirect']['to']}", "bold"
    if "respond" in told:
        yield 1, f"answers {told['respond']['status']} itself", "bold"
    if "forward" in told:
        yield from _forward(told)
    if "refused" in told:
        refused = told["refused"]
        yield 1, f"is answered with {refused['status']}, {refused['reason']}: {refused['why']}", "bold red"


def _route_words(route: Told) -> str:
    if route.get("chosen"):
        return "takes it"
    return route["why"] or "would take it too; another one is more specific, or comes first"


def _tracing_words(tracing: Told) -> str:
    begins = f"goes on with {tracing['trace_id']}" if tracing["trace_id"] else "begins a new one"
    return f"trace: {begins}, since {tracing['why']}; kept {tracing['kept']}"


def _forward(told: Told) -> Iterator[tuple[int, str, str]]:
    forward, balance = told["forward"], told["balance"]
    yield 1, f"cache: {told['cache']}", "dim"
    yield 1, f"shard: {told['shard']}", "dim"
    yield 1, f"is forwarded to upstream {forward['upstream']} as {forward['path']}{forward['query']}", "bold"
    times = ", ".join(f"{name} {seconds:g} s" for name, seconds in forward["timeouts"].items())
    yield 2, f"priority {forward['priority']}; time-outs: {times}", ""
    yield 2, f"at most {forward['retries']} retries" + (f" ({why})" if (why := forward["retries_why"]) else ""), ""
    yield 2, f"picked by {balance['algorithm']}" + (" (panic: health is ignored)" if balance["panic"] else ""), ""
    if "sticky" in told:
        sticky = told["sticky"]
        leads = f"leads to {sticky['leads_to']}" if sticky["leads_to"] else f"leads nowhere: {sticky['why']}"
        yield 3, f"sticky by {sticky['by']}, which {leads}", ""
    if "key" in balance:
        yield 3, f"{balance['key']} is {balance['value']!r}, which leads to {balance['picked']}", ""
    yield from _known(balance.get("workers", ()))
    for each in told["candidates"]:
        share = f"share {each['share']:.1%}" if each["usable"] else "gets nothing"
        text = f"{each['backend']}: {share}, {each['state']} ({each['why']}), {each['in_flight']} in flight"
        yield 3, text, "green" if each["usable"] else "red"


def _known(workers: Iterable[Told]) -> Iterator[tuple[int, str, str]]:
    """The state of the algorithm, in each worker that answers."""
    for each in workers:
        if each["failed"]:
            yield 3, f"worker {each['worker']}: the algorithm has failed, its fallback picks", "red"
        if not each.get("backends"):
            continue
        yield 3, f"worker {each['worker']} knows", ""
        for name, facts in each["backends"].items():
            yield 4, f"{name}: {_facts(facts)}", ""
        for pick in each.get("picks", ())[-PICKS:]:
            yield 4, f"pick: {_facts(pick)}", "dim"


def _facts(facts: Told) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {_fact(value)}" for name, value in facts.items() if value is not None)


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return f"({_facts(value)})"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_fact, value))})"
    return str(value)
