"""What `qantara check` says of an algorithm with the hook names of the release before."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cli import main


def yaml(algorithm: str) -> str:
    return (
        f"upstreams: {{app: {{balance: {algorithm}, backends: ['a:1']}}}}\nroutes: [{{upstream: app}}]\n"
        "listeners: [{bind: '127.0.0.1:0'}]\ngeo: {header: x-location}\ntrusted_proxies: ['10.0.0.0/8']\n"
    )


def checked(folder: Path, algorithm: str, status: int) -> Path:
    file = folder / "qantara.yaml"
    file.write_text(yaml(algorithm))
    assert main(["check", str(file)]) == status
    return file


@pytest.mark.parametrize("hook", ["roster", "census", "rebuild"])
def test_one_that_raises_about_members_is_refused(
    hook: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checked(tmp_path, f"{{algorithm: 'tests.balancing.former:Former', raises: {hook}}}", 2)
    words = f"members of the algorithm tests.balancing.former:Former has raised KeyError('broken in {hook}')"
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "algorithm",
    [
        "'tests.balancing.former:Former'",
        "{algorithm: geographic, inner: 'tests.balancing.former:Former'}",
        "{algorithm: geographic, inner: {algorithm: 'tests.balancing.former:Former', raises: ''}}",
        "{algorithm: round_robin, fallback: 'tests.balancing.former:Former'}",
    ],
)
def test_there_is_a_warning_with_the_line(algorithm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = checked(tmp_path, algorithm, 0)
    (line,) = capsys.readouterr().err.splitlines()
    start = f"{name}:1:28: upstreams.app.balance: balancing algorithm tests.balancing.former:Former uses former names"
    assert line.startswith(start)
    assert line.endswith("(docs/writing-an-algorithm.md) (warning)")


def test_the_others_are_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for algorithm in ("round_robin", "'tests.balancing.former:Shadows'", "'tests.balancing.former:Both'"):
        checked(tmp_path, algorithm, 0)
        assert capsys.readouterr().err == ""
