"""`qantara diff` as it is seen: plain lines, the table, and the exit codes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from proxy.cli import main
from proxy.configuration.diff import Diff
from proxy.configuration.effects import ConfigChange
from proxy.console.diff_view import print_diff

OLD = """\
listeners: [{bind: ':8080'}]
upstreams: {app: {backends: [a:80, b:80]}}
routes: [{upstream: app}]
"""
NEW = """\
listeners: [{bind: ':8080'}]
upstreams: {app: {backends: [a:80, c:80], pool: {idle: 2s}}}
routes: [{upstream: app}]
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text(OLD)
    Path("new.yaml").write_text(NEW)
    Path("bad.yaml").write_text(NEW.replace("pool", "pol"))
    return tmp_path


@pytest.mark.usefixtures("files")
def test_plain_lines_and_code_1_for_changes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "old.yaml", "new.yaml"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "- backend app b:80: weight 1 (is drained: requests in flight finish, new ones go to others)",
        "+ backend app c:80: weight 1 (takes requests, with slow start)",
        "~ upstreams.app.pool.idle: 55s -> 2s (pools keep their connections)",
        "# 1 backend removed, 1 backend added, 1 setting changed",
        "# 1 backend is drained",
        "# backends that stay keep their connections, health and counters",
    ]


@pytest.mark.usefixtures("files")
def test_code_0_if_nothing_would_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "old.yaml", "old.yaml"]) == 0
    assert capsys.readouterr().out == "# nothing would change\n"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("old.yaml", "bad.yaml", "bad.yaml:2:43: upstreams.app.pol: is no known key (did you mean pool?)"),
        ("bad.yaml", "new.yaml", "bad.yaml:2:43: upstreams.app.pol: is no known key (did you mean pool?)"),
        ("old.yaml", "none.yaml", "none.yaml: there is no such file"),
    ],
)
def test_code_2_for_a_file_that_is_refused(old: str, new: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", old, new]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"{words}\n")


def test_a_table_on_a_terminal_that_takes_no_value_for_markup() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, color_system="standard", width=150)
    print_diff(Diff((ConfigChange("changed", "route [red]x", "[bold]", "[/]", "none"),)), console)
    shown = screen.getvalue()
    for text in ("route [red]x", "[bold]", "[/]", "\x1b[33m", "1 route changed"):
        assert text in shown


def test_plain_lines_where_the_screen_knows_only_ascii() -> None:
    raw = io.BytesIO()
    screen = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    print_diff(Diff((ConfigChange("added", "route Zürich", "", "weight 1", "fine"),)), Console(file=screen))
    assert raw.getvalue().startswith(b"+ route Z\\xfcrich: weight 1 (fine)\n")
