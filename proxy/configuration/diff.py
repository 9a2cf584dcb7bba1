"""What a reload would change, in the words of those who operate it.

Law of this file: it compares two checked configurations and touches nothing that runs. Things are known by what makes
them the same for what is running: a listener by where it listens, a backend by upstream and address, a route by its
name or its conditions.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import NamedTuple

from .compile import compile_plan
from .effects import DRAINED, RESTART, TAKES, Change, value_changes
from .load import load
from .render import annotated, show
from .schema import Config, Route, UpstreamSection
from .sections.backends import BackendSection
from .sections.listeners import ListenerSection
from .sections.match import conditions
from .values import quoted

_CONDITIONS = ("host", "path", "exact", "regex", "methods", "headers")


class Diff(NamedTuple):
    """Everything that changes, in the order of the file. False if nothing does."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def summary(self) -> tuple[str, ...]:
        """What it comes to, a sentence each."""
        return tuple(_summary(self.changes))


def diff(old: Config, new: Config) -> Diff:
    """What changes from one checked configuration to another."""
    changes: list[Change] = []
    for name, field in Config.model_fields.items():
        before, after = getattr(old, name), getattr(new, name)
        if name == "listeners":
            changes += _listeners(before, after)
        elif name == "upstreams":
            changes += _upstreams(before, after)
        elif name == "routes":
            changes += _routes(before, after)
        else:
            changes += value_changes((name,), before, after, annotated(field))
    return Diff(tuple(changes))


def diff_against(running: Config, path: str | os.PathLike[str]) -> Diff:
    """What a reload of this file would change in what is running. Raises ConfigError if it would be refused."""
    loaded = load(path)
    compile_plan(loaded.config, loaded.report)
    return diff(running, loaded.config)


# --- listeners --------------------------------------------------------------------------------------------


def _listeners(old: Sequence[ListenerSection], new: Sequence[ListenerSection]) -> Iterator[Change]:
    before, after = ({str(each.bind): each for each in listeners} for listeners in (old, new))
    for bind in before:
        if bind not in after:
            effect = "is closed; connections on it are drained"
            yield Change("removed", f"listener {bind}", effect=effect)
    for bind, listener in after.items():
        if bind not in before:
            yield Change("added", f"listener {bind}", effect="is opened")
            continue
        for change in value_changes((), before[bind], listener, None):
            effect = f"{RESTART}: the socket is open already" if change.what == "backlog" else change.effect
            yield change._replace(what=f"listener {bind} {change.what}", effect=effect)


# --- upstreams --------------------------------------------------------------------------------------------


def _upstreams(old: Mapping[str, UpstreamSection], new: Mapping[str, UpstreamSection]) -> Iterator[Change]:
    for name, upstream in old.items():
        if name not in new:
            effect = "its backends are drained, and found no more" if upstream.discover else "its backends are drained"
            yield Change("removed", f"upstream {name}", show(upstream, but=("backends",)), "", effect)
            yield from _backends(name, upstream.backends, ())
    for name, upstream in new.items():
        before = old.get(name)
        if before is None:
            yield Change("added", f"upstream {name}", "", show(upstream, but=("backends",)), "begins with no history")
            yield from _backends(name, (), upstream.backends)
        else:
            yield from _backends(name, before.backends, upstream.backends)
            for change in value_changes(("upstreams", name), before, upstream, None, but=("backends",)):
                gone = change.what.endswith(".discover") and upstream.discover is None
                yield change._replace(effect="the backends that it found are drained") if gone else change


def _backends(upstream: str, old: Sequence[BackendSection], new: Sequence[BackendSection]) -> Iterator[Change]:
    before, after = ({str(each.address): each for each in backends} for backends in (old, new))
    for address, backend in before.items():
        if address not in after:
            yield Change("removed", f"backend {upstream} {address}", _weighed(backend), "", DRAINED)
    for address, backend in after.items():
        what = f"backend {upstream} {address}"
        if address not in before:
            yield Change("added", what, "", _weighed(backend), TAKES if backend.weight else "has a weight of 0: waits")
            continue
        for change in value_changes((), before[address], backend, None):
            effect = "its connections and counters stay"
            if change.what == "weight" and not backend.weight:
                effect = "gets no new requests; those in flight finish"
            yield change._replace(what=f"{what} {change.what}", effect=effect)
    kept = [address for address in before if address in after]
    if kept != [address for address in after if address in before]:
        order = ", ".join(before), ", ".join(after)
        yield Change("moved", f"backends of {upstream}", *order, "concerns only algorithms that go by their order")


def _weighed(backend: BackendSection) -> str:
    more = {"region": backend.region, "zone": backend.zone, "priority": backend.priority, "labels": backend.labels}
    return ", ".join([f"weight {backend.weight}", *(f"{key} {show(value)}" for key, value in more.items() if value)])


# --- routes -----------------------------------------------------------------------------------------------


def _routes(old: Sequence[Route], new: Sequence[Route]) -> Iterator[Change]:
    pairs = _paired(old, new)
    for index, route in enumerate(old):
        if index not in pairs:
            yield Change("removed", f"route {called(route)}", action_of(route), "", "requests go to the next that fits")
    origins = {after: before for before, after in pairs.items()}
    moved = _out_of_order(pairs)
    for index, route in enumerate(new):
        what = f"route {called(route)}"
        if index not in origins:
            yield Change("added", what, "", action_of(route), "takes requests that fit it best")
            continue
        for change in value_changes((), old[origins[index]], route, None):
            effect = "other requests fit it" if change.what.split(".")[0] in _CONDITIONS else change.effect
            yield change._replace(what=f"{what} {change.what}", effect=effect)
        if index in moved:
            positions = f"position {origins[index] + 1}", f"position {index + 1}"
            yield Change("moved", what, *positions, _effect_of_move(new, index))


def _paired(old: Sequence[Route], new: Sequence[Route]) -> dict[int, int]:
    """Which route of the old has become which of the new: by name where both have one, then by conditions."""
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
    """Positions in the new list of the fewest routes that have to be moved to get there from the old order."""
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
    """What a route is called: its name, or its conditions."""
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


def _summary(changes: Sequence[Change]) -> Iterator[str]:
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
