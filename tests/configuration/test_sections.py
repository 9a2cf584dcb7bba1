"""The table of sections: a line and a file are enough for a new feature, wherever it stands."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.configuration import compile as compiling
from proxy.configuration import effects, findings, lint, rules, schema, sections
from proxy.configuration.fields import Count, Section
from proxy.configuration.load import load_text
from proxy.configuration.sections import ROUTE, SECTIONS, TOP, UPSTREAM, Entry

FOLDER = Path(sections.__file__).parent
HOOKS = {"rules", "check", "lint", "to_spec", "absent", "route_spec", "hides_request", "hides_response"}
CONSTANTS = {"ABOUT", "FIELD", "EFFECTS"}
BASES: dict[str, type[Section]] = {TOP: schema.ConfigBase, UPSTREAM: schema.UpstreamBase, ROUTE: schema.RouteBase}
AFTER = {TOP: "shards", UPSTREAM: "backends", ROUTE: "cache"}


class MirrorSection(Section):
    """A feature that does not exist."""

    share: Count = 1


def made_up() -> Any:
    """Its file."""
    return SimpleNamespace(
        MirrorSection=MirrorSection,
        ABOUT="Where a share of the requests goes too.",
        EFFECTS=(("*", "mirrors from the next request on"),),
        rules=lambda path, parent, document: (
            [findings.Finding((*path, "mirror"), "is too much")] if parent.get("mirror") == {"share": 100} else []
        ),
        lint=lambda config: [findings.Finding((), "mirrors")],
        to_spec=lambda section, site: ("mirror", section.share),
        hides_response=lambda spec: ("x-mirror",),
    )


@pytest.mark.parametrize("where", [TOP, UPSTREAM, ROUTE])
def test_a_line_and_a_file_make_a_feature(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    entry = Entry("mirror", where, "mirror:MirrorSection", after=AFTER[where])
    entry.module = made_up()
    for module in (sections, lint, effects, compiling):
        monkeypatch.setattr(module, "SECTIONS", (*SECTIONS, entry))
    effects.effects.cache_clear()
    # the schema: the key is known, at its place, with its sentence
    model = schema.extended(BASES[where], "Model", where)
    names = list(model.model_fields)
    assert names[names.index(AFTER[where]) + 1] == "mirror"
    assert model.model_fields["mirror"].description == "Where a share of the requests goes too."
    # rules, warnings and effects
    data: dict[str, Any] = {"upstreams": {"app": {"backends": ["a:1"]}}, "routes": [{"upstream": "app"}]}
    place: Any = {TOP: data, UPSTREAM: data["upstreams"]["app"], ROUTE: data["routes"][0]}[where]
    place["mirror"] = {"share": 100}
    assert "is too much" in [found.message for found in rules.rule_findings(data, ())]
    config = load_text("listeners: [{bind: ':0'}]\nupstreams: {app: {backends: ['a:1']}}\nroutes: [{upstream: app}]")
    assert "mirrors" in [found.message for found in lint.warning_findings(config.config)]
    key = {TOP: "", UPSTREAM: "upstreams.app.", ROUTE: "routes[3]."}[where] + "mirror.share"
    assert effects.effect_of(key) == "mirrors from the next request on"
    # the plan: the feature is with the route, and clients do not get its header
    holder: Any = {TOP: config.config, UPSTREAM: config.config.upstreams["app"], ROUTE: config.config.routes[0]}[where]
    object.__setattr__(holder, "mirror", MirrorSection(share=7))
    (route,) = compiling.compile_plan(config.config).routes
    assert route.features["mirror"] == ("mirror", 7)
    assert route.response_edits is not None
    assert route.response_edits.remove == (b"x-mirror",)
    monkeypatch.undo()
    effects.effects.cache_clear()


def test_each_file_is_in_the_table_or_part_of_one_that_is() -> None:
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert files - {entry.file for entry in SECTIONS} == {"names"}


@pytest.mark.parametrize("file", sorted({entry.file for entry in SECTIONS}))
def test_a_hook_has_the_name_of_one(file: str) -> None:
    """A misspelt one would never be called: what nothing in the package names is a hook, or a mistake."""
    tree = ast.parse((FOLDER / f"{file}.py").read_text(encoding="utf-8"))
    source = "\n".join(path.read_text(encoding="utf-8") for path in FOLDER.parents[1].rglob("*.py"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name not in HOOKS:
            assert source.count(node.name) > 1, f"{file}.py: nothing calls {node.name}"
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            assert name in CONSTANTS or source.count(name) > 1, f"{file}.py: nothing reads {name}"
