"""The JSON Schema of the configuration, for editors: `python -m proxy.console.editor_schema`.

Invariant: it is made from the models alone, so it never allows a key that they refuse. The shipped file,
config/qantara.schema.json, is this output; a test compares the two. The descriptions of keys are parsed from the source
of the models only here: that takes longer than the rest of a start.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

from ..configuration.fields import Section
from ..configuration.schema import Config

SUFFIX = "Section"
"""The suffix of class names, removed in schemas."""
ACROSS = ("oneOf", "anyOf", "dependentSchemas")
"""Keywords for rules across the keys of a section, placed after the keys."""


def editor_schema() -> dict[str, Any]:
    """A schema of draft 2020-12."""
    describe(Config, set())
    schema = _renamed(Config.model_json_schema())
    definitions = schema.pop("$defs")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_titles(schema),
        "title": "Qantara configuration",
        "$defs": {name: _without_titles(definition) for name, definition in definitions.items()},
    }


def describe(model: type[BaseModel], seen: set[type[BaseModel]]) -> None:
    """Give the fields of a model, and of those in it, the sentences below them as descriptions."""
    seen.add(model)
    for name, field in model.__pydantic_fields__.items():
        for inner in _models_in(field.annotation, *field.metadata):
            if inner not in seen:
                describe(inner, seen)
        if field.description is None:
            owner = next(each for each in model.__mro__ if name in inspect.get_annotations(each))
            field.description = _sentences(owner.__module__).get(owner.__name__, {}).get(name)
    model.model_rebuild(force=True)


def _models_in(*annotations: Any) -> Iterator[type[BaseModel]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield annotation
        yield from _models_in(*get_args(annotation))


@cache
def _sentences(module: str) -> dict[str, dict[str, str]]:
    """The docstrings of attributes in a module, by class."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {each.name: dict(_documented(each)) for each in classes}


def _documented(definition: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else None
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, str):
            yield field.target.id, inspect.cleandoc(text)


def _renamed(value: Any) -> Any:
    """With the names of definitions, and references to them, without their suffix."""
    if isinstance(value, list):
        return [_renamed(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: _renamed(each) for key, each in value.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].removesuffix(SUFFIX)
    if "$defs" in found:
        found["$defs"] = dict(sorted((name.removesuffix(SUFFIX), each) for name, each in found["$defs"].items()))
    return found


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """Drops the titles that repeat the name of a key: editors show them above the description."""
    properties = {
        key: {name: value for name, value in field.items() if name != "title"}
        for key, field in schema.get("properties", {}).items()
    }
    rest = {name: value for name, value in schema.items() if name not in ("title", *ACROSS)}
    return {**rest, "properties": properties, **{name: schema[name] for name in ACROSS if name in schema}}


if __name__ == "__main__":
    print(json.dumps(editor_schema(), indent=2))
