"""Errors of a configuration in plain words: key by key, and across keys and sections.

Invariant: see findings.py. Rules of one section are hooks in its file; this file calls them.
"""

from __future__ import annotations

import difflib
import re
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from .findings import Finding, Path, PlainData, routes_of, unknown_key
from .schema import Config
from .sections import ROUTE, TOP, UPSTREAM, sections
from .values import described, quoted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pydantic import BaseModel, ValidationError

_WRITE = {
    "listeners": "[{bind: 127.0.0.1:8080}]",
    "routes": "[{path: /, upstream: app}]",
    "backends": "[127.0.0.1:9001]",
    "bind": "127.0.0.1:8080",
    "algorithm": "round_robin",
    "address": "127.0.0.1:9001",
    "from": "/old",
    "to": "/new",
}


# --- key by key -------------------------------------------------------------------------------------------


def model_findings(error: ValidationError, root: type[BaseModel] = Config) -> Iterator[Finding]:
    for item in error.errors(include_url=False):
        path, value, kind = item["loc"], item.get("input"), item["type"]
        if kind == "too_short" and value:
            continue  # its entries are wrong, and reported; the list itself is not too short
        if path[-1:] == ("[key]",):
            yield Finding(path[:-1], _words(kind, item.get("ctx", {}), value), at_key=True)
        elif kind == "extra_forbidden":
            yield Finding(path, unknown_key(str(path[-1]), _known_keys(path[:-1], root)), at_key=True)
        elif kind == "missing":
            yield Finding(path, f"is missing; write {path[-1]}: {_WRITE.get(str(path[-1]), 'a value')}")
        else:
            yield Finding(path, _words(kind, item.get("ctx", {}), value))


def _known_keys(path: Path, root: type[BaseModel]) -> list[str]:
    """The keys of the section at this path, by walking the annotations of the models."""
    kind: Any = root
    for part in path:
        if hasattr(kind, "model_fields"):
            kind = _peeled(_annotations(kind)[str(part)])
        else:  # tuple[X, ...] or Mapping[str, X]
            kind = _peeled(get_args(kind)[isinstance(part, str)])
    return list(_annotations(kind))


def _annotations(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _peeled(annotation: Any) -> Any:
    """Without Annotated and "or None"."""
    if get_origin(annotation) in (Annotated, Union, UnionType):
        return _peeled(get_args(annotation)[0])
    return annotation


def _words(kind: str, context: Mapping[str, Any], value: object) -> str:
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return _one_of(re.findall(r"[\w-]+", context["expected"].replace(" or ", " ")), value)
    if kind in ("too_short", "string_too_short"):
        return "must not be empty"
    must = f"must be {_EXPECTED[kind].format_map(context)}" if kind in _EXPECTED else "is not valid"
    if value is None:
        return f"has no value; it {must}"
    return f"{must}, not {described(value)}{_quoting(kind, value)}"


def _quoting(kind: str, value: object) -> str:
    if kind == "string_type" and isinstance(value, int | float):
        return "; put it in quotes"
    if isinstance(value, str):
        if kind == "int_type" and value.isdigit():
            return "; remove the quotes"
        if kind == "tuple_type":
            return f"; write [{quoted(value)}]"
    return ""


_EXPECTED = {
    "model_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "tuple_type": "a list",
    "string_type": "text",
    "float_type": "a number",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}


def _one_of(choices: Sequence[str], value: object) -> str:
    hint = ""
    if isinstance(value, str) and (close := difflib.get_close_matches(value[:100].lower(), choices, n=1)):
        hint = f" (did you mean {close[0]}?)"
    return f"must be {', '.join(choices[:-1])} or {choices[-1]}, not {described(value)}{hint}"


# --- across keys and sections -----------------------------------------------------------------------------


def rule_findings(data: Mapping[str, Any], algorithms: Collection[str]) -> Iterator[Finding]:
    """The rules across keys. `data` may be invalid otherwise."""
    document = PlainData(data, algorithms)
    yield from _hooks(TOP, (), data, document)
    for name, upstream in document.upstreams.items():
        if isinstance(upstream, dict):
            yield from _hooks(UPSTREAM, ("upstreams", name), upstream, document)
    for path, route in routes_of(document):
        yield from _hooks(ROUTE, path, route, document)


def _hooks(where: str, path: Path, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    for entry in sections(where):
        if rules := entry.hook("rules"):
            yield from rules(path, parent, document)


def model_rule_findings(config: Config) -> Iterator[Finding]:
    """The rules that need the checked models."""
    for where in (TOP, UPSTREAM, ROUTE):
        for entry in sections(where):
            if check := entry.hook("check"):
                yield from check(config)
