"""What is shipped beside the code agrees with it: example files, JSON Schema, documentation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from proxy.configuration.load import load
from proxy.console.editor_schema import editor_schema

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "config").glob("*.yaml"))
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+?) \| ([^|]+?) \| ([^|]+?) \|$", re.MULTILINE)
SCHEMA = editor_schema()


def test_the_examples_are_there() -> None:
    assert {file.stem for file in EXAMPLES} >= {"minimal", "demo", "app_servers", "example"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_loads_without_problems(file: Path) -> None:
    assert load(file).warnings == ()
    assert file.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=./qantara.schema.json\n")


def test_the_schema_is_current() -> None:
    shipped = json.loads((ROOT / "config" / "qantara.schema.json").read_text(encoding="utf-8"))
    assert shipped == SCHEMA, "run: python -m proxy.console.editor_schema > config/qantara.schema.json"


def test_the_full_example_names_the_defaults() -> None:
    full, minimal = (
        load(ROOT / "config" / "example.yaml").config,
        load(ROOT / "config" / "minimal.yaml").config,
    )
    settings = {
        "workers",
        "trusted_proxies",
        "via",
        "forwarded",
        "access_log",
        "timeouts",
        "limits",
        "listeners",
    }
    assert full.model_dump(include=settings) == minimal.model_dump(include=settings)
    assert full.upstreams == minimal.upstreams
    assert full.routes[0].model_copy(update={"name": None}) == minimal.routes[0]


def test_the_full_example_names_every_key() -> None:
    text = (ROOT / "config" / "example.yaml").read_text(encoding="utf-8")
    shards = {"shards", "shard"}
    missing = {key.rpartition(".")[2] for key in keys()} - shards - set(re.findall(r"[a-z0-9_]+", text))
    assert missing == set()


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """The section behind a reference, in a list, in a mapping or beside null; {} if there is none."""
    if "$ref" in schema:
        section: dict[str, Any] = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        return section
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", [])]
    return next((found for item in inner if isinstance(item, dict) and (found := resolved(item))), {})


def keys(schema: dict[str, Any] = SCHEMA, prefix: str = "") -> dict[str, dict[str, Any]]:
    """Every key of the configuration, as the documentation writes it, with its schema."""
    found = {}
    for name, field in schema["properties"].items():
        found[prefix + name] = field | {"required": name in schema.get("required", [])}
        section = resolved(field)
        named = name in ("upstreams", "rate_limits", "headers", "locations")
        step = ".NAME." if named else "[]." if "items" in field else "."
        found |= keys(section, prefix + name + step) if section else {}
    return found


def shown(field: dict[str, Any]) -> str:
    """The default of a key as the documentation has to write it."""
    if field["required"]:
        return "required"
    default = field.get("default", {} if resolved(field) or field.get("type") == "object" else None)
    text = default if isinstance(default, str) else json.dumps(default)
    return f"`{text or json.dumps('')}`".replace('"path": "-", "format": "json"', 'path: "-", format: json')


def test_the_page_lists_every_key() -> None:
    rows = [row[0] for row in ROW.findall(PAGE)]
    assert sorted(rows) == sorted(keys())


@pytest.mark.parametrize("row", ROW.findall(PAGE), ids=lambda row: row[0])
def test_the_page_names_the_default(row: tuple[str, str, str, str]) -> None:
    assert row[2] == shown(keys()[row[0]])
