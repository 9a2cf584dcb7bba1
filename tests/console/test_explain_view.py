"""How an explanation is shown: lines in a pipe, a tree on a terminal, and the exit code."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from proxy.console.explain_view import ask_or_explain, show_explanation, tree
from tests.control.test_explain import told


def test_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_explanation(told("/api/x"), False) == 0
    said = capsys.readouterr().out
    assert said.startswith("GET /api/x for host localhost from 127.0.0.1\n  route write: method is not POST\n")
    assert "  is forwarded to upstream app as /x\n" in said
    assert "      a:1: share 60.0%, ready (nothing speaks against it), 0 in flight\n" in said
    assert "\x1b" not in said


def test_a_refusal_is_told_and_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_explanation(told("/nowhere"), False) == 1
    assert "is answered with 404, route.no_route" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert show_explanation(told("/ping"), True) == 0
    assert json.loads(capsys.readouterr().out)["respond"]["status"] == 204


def test_who_asks_has_an_address(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("listeners: [{bind: ':1'}]\nroutes: [{respond: {}}]\n")
    question = {"method": "GET", "url": "/", "headers": [], "client": "me"}
    with pytest.raises(ValueError, match=r"^client: must be an IP address"):
        ask_or_explain(None, str(file), question)
    assert ask_or_explain(None, str(file), question | {"client": "::1"})["request"]["client"] == "::1"


def test_a_tree_on_a_terminal() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    console.print(tree(told("/api/x")))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "└──" in said
    assert "\x1b" in said


def test_what_the_algorithm_knows_in_each_worker(capsys: pytest.CaptureFixture[str]) -> None:
    explanation = told("/api/x")
    known = {
        "backends": {"a:1": {"score": 1.23456, "why": "errors", "age": None}},
        "picks": [{"picked": "a:1", "d": [1.5]}],
    }
    explanation["balance"]["workers"] = [{"worker": 1, "failed": False, **known}, {"worker": 2, "failed": True}]
    show_explanation(explanation, False)
    said = capsys.readouterr().out
    assert "        a:1: score 1.23, why errors\n        pick: picked a:1, d (1.5)\n" in said
    assert "worker 2: the algorithm has failed, its fallback picks" in said


def test_the_trace_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    begins = {"trace_id": None, "why": "it has no traceparent", "kept": "if it fails"}
    show_explanation(told("/api/x") | {"tracing": begins}, False)
    assert "  trace: begins a new one, since it has no traceparent; kept if it fails\n" in capsys.readouterr().out
