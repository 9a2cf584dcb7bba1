"""Findings: errors and warnings before their place in the file is known; and helpers of rules over plain data.

Invariant: a `Finding` names a place by its path in the document and never holds a term of the validation library or of
Python. Rules read the plain data, not the models, so that they apply even while other keys are wrong.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from . import values as units
from .values import quoted

Path = tuple[str | int, ...]


class Finding(NamedTuple):
    """One error or warning, before its place in the file is known."""

    path: Path
    message: str
    at_key: bool = False
    """Whether it concerns the key itself, not its value."""


class PlainData(NamedTuple):
    """The unchecked plain data of a whole file, and the names that `balance` may use."""

    data: Mapping[str, Any]
    algorithms: Collection[str]

    @property
    def upstreams(self) -> dict[str, Any]:
        return mapping(self.data.get("upstreams"))


def dotted(path: Path) -> str:
    """("routes", 2, "upstream") as "routes[2].upstream"."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += "." * bool(text) + (part if re.fullmatch(r"[\w<*-][\w.*-]*", part) else quoted(part))
    return text


def did_you_mean(word: str, known: Collection[str]) -> str:
    """A closing hint at the most similar of the known words, or at all of them if they are few."""
    lowered = {name.lower(): name for name in known}
    if close := difflib.get_close_matches(word[:100].lower(), lowered, n=1):
        return f" (did you mean {lowered[close[0]]}?)"
    if 0 < len(known) <= 12:
        return f"; there is {', '.join(known)}" if len(known) == 1 else f"; there are {', '.join(known)}"
    return ""


def unknown_key(key: str, known: Collection[str]) -> str:
    """The message for an unknown key of a section."""
    if key == "<<":
        return "merge keys are not supported (YAML 1.2 has none); repeat the keys, or alias the whole value"
    return f"is no known key{did_you_mean(key, known)}"


# --- plain data ---------------------------------------------------------------------------------------------


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def entries(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """The entries of a list with their paths; none if it is not a list."""
    if isinstance(value, list):
        for index, entry in enumerate(value):
            yield (*path, index), entry


def routes_of(document: PlainData) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The routes that are mappings, with their paths, without the keys that are null."""
    for path, route in entries(("routes",), document.data.get("routes")):
        if isinstance(route, dict):
            yield path, {key: value for key, value in route.items() if value is not None}


def same_address(path: Path, listed: Any, key: str) -> Iterator[Finding]:
    """Addresses that a list names twice."""
    seen: dict[units.Address, str] = {}
    for where, entry in entries(path, listed):
        text = mapping(entry).get(key, entry)
        try:
            address = units.parse_bind(text) if key == "bind" else units.parse_address(text)
        except ValueError:
            continue  # reported already
        if address in seen and (address.kind == "unix" or address.port):
            at = (*where, key) if isinstance(entry, dict) else where
            yield Finding(at, f"{address} is given twice; the first is {seen[address]}")
        seen.setdefault(address, dotted(where))


def same_name(path: Path, names: Mapping[str, Any]) -> Iterator[Finding]:
    """Header names that differ in case only."""
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen:
            yield Finding((*path, name), f"is the same header as {seen[name.lower()]}", at_key=True)
        seen.setdefault(name.lower(), name)


def no_upstream(path: Path, name: Any, document: PlainData) -> Iterator[Finding]:
    """A finding if a name is not that of an upstream."""
    upstreams = document.upstreams
    if isinstance(name, str) and name not in upstreams:
        yield Finding(path, f"there is no upstream {quoted(name)}{did_you_mean(name, upstreams)}")
