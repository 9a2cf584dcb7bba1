"""The changes that a reload would make, in the terms of operators.

Law of this file: it compares two checked configurations, without effects. Entries are identified as at run time: a
listener by its address, a backend by upstream and address, a route by its name or its conditions.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ..balancing.python_path import use_folders
from .compile import compile_plan
from .effects import DRAINED, RESTART, ConfigChange, value_changes
from .load import load
from .render import annotated, show
from .schema import Config, Route, UpstreamSection
from .sections.backends import backend_changes
from .sections.listeners import listener_changes
from .sections.match import conditions
from .values import quoted

_CONDITIONS = ("host", "path", "exact", "regex", "methods", "headers")


class Diff(NamedTuple):
    """Everything that changes, in the order of the file. False if nothing does."""

    changes: tuple[ConfigChange, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def summary(self) -> tuple[str, ...]:
        """What it comes to, a sentence each."""
        return tuple(_summary(self.changes))


def diff(old: Config, new: Config) -> Diff:
    """What changes from one checked configuration to another."""
    changes: list[ConfigChange] = []
    for name, field in Config.model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if name == "listeners":
            changes += listener_changes(before, after)
        elif name == "upstreams":
            changes += _upstreams(before, after)
        elif name == "routes":
            changes += _routes(before, after)
        else:
            changes += value_changes((name,), before, after, annotated(field))
    return Diff(tuple(changes))


def diff_against(running: Config, path: str | os.PathLike[str]) -> Diff:
    """The changes that a reload of this file would make. Raises ConfigError if it would be refused."""
    loaded = load(path)
    try:
        compile_plan(loaded.config, loaded.report)
    finally:
        use_folders(running.python_path)
    return diff(running, loaded.config)


# --- upstreams --------------------------------------------------------------------------------------------


def _upstreams(old: Mapping[str, UpstreamSection], new: Mapping[str, UpstreamSection]) -> Iterator[ConfigChange]:
    for name, upstream in old.items():
        if name not in new:
            effect = "its backends are drained, and found no more" if upstream.discover else "its backends are drained"
            yield ConfigChange("removed", f"upstream {name}", show(upstream, but=("backends",)), "", effect)
            yield from backend_changes(name, upstream.backends, ())
    for name, upstream in new.items():
        before = old.get(name)
        if before is None:
            yield ConfigChange(
                "added", f"upstream {name}", "", show(upstream, but=("backends",)), "begins with no history"
            )
            yield from backend_changes(name, (), upstream.backends)
        else:
            yield from backend_changes(name, before.backends, upstream.backends)
            for change in value_changes(("upstreams", name), before, upstream, None, but=("backends",)):
                gone = change.what.endswith(".discover") and upstream.discover is None
                yield change._replace(effect="the backends that it found are drained") if gone else change


# --- routes -----------------------------------------------------------------------------------------------


def _routes(old: Sequence[Route], new: Sequence[Route]) -> Iterator[ConfigChange]:
    pairs = _paired(old, new)
    for index, route in enumerate(old):
        if index not in pairs:
            yield ConfigChange(
                "removed", f"route {called(route)}", action_of(route), "", "requests go to the next that fits"
            )
    origins = {after: before for before, after in pairs.items()}
    moved = _out_of_order(pairs)
    for index, route in enumerate(new):
        what = f"route {called(route)}"
        if index not in origins:
            yield ConfigChange("added", what, "", action_of(route), "takes requests that fit it best")
            continue
        for change in value_changes(("routes", index), old[origins[index]], route, None):
            key = change.what.removeprefix(f"routes[{index}].")
            effect = "other requests fit it" if key.split(".")[0] in _CONDITIONS else change.effect
            yield change._replace(what=f"{what} {key}", effect=effect)
        if index in moved:
            positions = f"position {origins[index] + 1}", f"position {index + 1}"
            yield ConfigChange("moved", what, *positions, _effect_of_move(new, index))


def _paired(old: Sequence[Route], new: Sequence[Route]) -> dict[int, int]:
    """Pairs of old and new routes: by name where both have one, then by conditions."""
    pairs: dict[int, int] = {}
    for identity in (lambda route: route.name, conditions):
        left: dict[Hashable, list[int]] = {}
        taken = set(pairs.values())
        for index, route in enumerate(new):
            if index not in taken and (key := identity(route)) is not None:
                left.setdefault(key, []).append(index)
        for index, route in enumerate(old):
            if index not in pairs and (found := left.get(identity(route))):
                pairs[index] = found.pop(0)
    return pairs


def _out_of_order(pairs: Mapping[int, int]) -> set[int]:
    """Positions in the new list of a smallest set of routes to move, from the old order to the new one."""
    order = [pairs[index] for index in sorted(pairs)]
    # the longest increasing run of `order` stays: by patience sorting, O(n log n)
    tails: list[int] = []
    before: dict[int, int | None] = {}
    for position in order:
        low, high = 0, len(tails)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if tails[middle] < position else (low, middle)
        before[position] = tails[low - 1] if low else None
        tails[low:] = [position, *tails[low + 1 :]]
    staying: set[int] = set()
    last: int | None = tails[-1] if tails else None
    while last is not None:
        staying.add(last)
        last = before[last]
    return set(order) - staying


def _effect_of_move(routes: Sequence[Route], index: int) -> str:
    """The position counts only among routes that are equally specific."""
    rank = _specificity(routes[index])
    if any(_specificity(route) == rank for at, route in enumerate(routes) if at != index):
        return "the first that fits wins among equally specific ones"
    return "no effect: the most specific route wins, and none is as specific as this"


def _specificity(route: Route) -> Hashable:
    return (route.host, "regex") if route.regex is not None else (route.host, route.path, route.exact)


def called(route: Route) -> str:
    """The label of a route: its name, or its conditions."""
    if route.name is not None:
        return quoted(route.name) if not route.name.isalnum() else route.name
    text = route.exact or route.regex or route.path or "/"
    kind = "=" if route.exact else "~" if route.regex else ""
    methods = f" {'|'.join(route.methods)}" if route.methods else ""
    headers = f" {show(route.headers)}" if route.headers else ""
    return f"{route.host} {kind}{text}{methods}{headers}"


def action_of(route: Route) -> str:
    if route.upstream is not None:
        return f"to upstream {route.upstream}"
    if route.redirect is not None:
        return f"redirect to {route.redirect.to}"
    return f"answers with {route.respond.status}" if route.respond is not None else ""


# --- in short ---------------------------------------------------------------------------------------------


def _summary(changes: Sequence[ConfigChange]) -> Iterator[str]:
    if not changes:
        yield "nothing would change"
        return
    counts: dict[tuple[str, str], int] = {}
    for change in changes:
        kind = change.what.split(" ")[0] if " " in change.what else "setting"
        counts[kind, change.action] = counts.get((kind, change.action), 0) + 1
    yield ", ".join(f"{_number(count, kind)} {action}" for (kind, action), count in counts.items())
    drained = sum(change.effect == DRAINED for change in changes)
    if drained:
        yield f"{_number(drained, 'backend')} {'are' if drained > 1 else 'is'} drained"
    yield "backends that stay keep their connections, health and counters"
    if restart := [change.what for change in changes if change.effect.startswith(RESTART)]:
        yield f"{RESTART}: {', '.join(restart)}"


def _number(count: int, noun: str) -> str:
    noun = noun.removesuffix("s")
    return f"{count} {noun}{'s' if count > 1 else ''}"
