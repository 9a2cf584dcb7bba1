"""The JSON Schema of the configuration, for editors: `python -m proxy.configuration.editor_schema`.

Invariant: it is made from the models alone, so it never allows a key that they refuse. The shipped file,
config/qantara.schema.json, is this output; a test compares the two.
"""

from __future__ import annotations

import json
from typing import Any

from .schema import Config


def editor_schema() -> dict[str, Any]:
    """A schema of draft 2020-12."""
    schema = Config.model_json_schema()
    definitions = schema.pop("$defs")
    _add_choices(definitions["Route"])
    definitions["Upstream"]["anyOf"] = [{"required": ["backends"]}, {"required": ["discover"]}]
    definitions["Discover"]["oneOf"] = [{"required": [form]} for form in ("dns", "file", "source")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_titles(schema),
        "title": "Qantara configuration",
        "$defs": {name: _without_titles(definition) for name, definition in definitions.items()},
    }


def _add_choices(route: dict[str, Any]) -> None:
    """The rules across keys that a schema can say too."""
    route["oneOf"] = [{"required": [action]} for action in ("upstream", "redirect", "respond")]
    route["dependentSchemas"] = {
        "strip_prefix": {"required": ["upstream"], "not": {"required": ["replace_prefix"]}},
        "replace_prefix": {"required": ["upstream"]},
    }


def _without_titles(schema: dict[str, Any]) -> dict[str, Any]:
    """Drops the titles that repeat the name of a key: editors show them above the description."""
    properties = {
        key: {name: value for name, value in field.items() if name != "title"}
        for key, field in schema.get("properties", {}).items()
    }
    rest = {name: value for name, value in schema.items() if name != "title"}
    return {**rest, "properties": properties}


if __name__ == "__main__":
    print(json.dumps(editor_schema(), indent=2))
