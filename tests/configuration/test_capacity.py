"""More than the scoreboard has room for is refused before anything is served, with its place and the limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.cli import main
from proxy.configuration import capacity
from proxy.configuration.load import load_text
from proxy.errors import ConfigError
from proxy.scoreboard import MOST_BACKENDS, MOST_UPSTREAMS

START = "listeners: [{bind: ':1'}]\nroutes: [{respond: {}}]\n"


def upstreams(count: int, backends: str = "[a:1]") -> str:
    return "upstreams:\n" + "".join(f"  u{number}: {{backends: {backends}}}\n" for number in range(count))


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_text(text)
    return [str(problem) for problem in error.value.problems]


def test_the_first_upstream_without_room_is_named() -> None:
    assert problems(START + upstreams(MOST_UPSTREAMS + 3)) == [
        "<config>:1028:3: upstreams.u1024: there are 1027 upstreams and rate limits; there may be 1024 of both together"
    ]


def test_rate_limits_take_room_of_upstreams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "MOST_UPSTREAMS", 8)
    text = START + upstreams(8) + "rate_limits: {one: {rate: 1/s}}\n"
    assert problems(text) == [
        "<config>:12:15: rate_limits.one: there are 9 upstreams and rate limits; there may be 8 of both together"
    ]


def test_the_first_backend_without_room_is_named() -> None:
    listed = "[" + ", ".join(f"a:{port}" for port in range(1, MOST_BACKENDS)) + "]"
    text = START + f"upstreams:\n  one: {{backends: {listed}}}\n  two: {{backends: [b:1, b:2, b:3]}}\n"
    assert problems(text) == [
        "<config>:5:25: upstreams.two.backends[1]: there may be 16384 backends in all upstreams "
        "together; this is one more"
    ]


def test_what_just_finds_room_is_good() -> None:
    assert len(load_text(START + upstreams(MOST_UPSTREAMS)).config.upstreams) == MOST_UPSTREAMS


def test_check_says_it_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "MOST_UPSTREAMS", 8)
    file = tmp_path / "q.yaml"
    file.write_text(START + upstreams(9))
    assert main(["check", str(file)]) == 2
    assert "upstreams.u8: there are 9 upstreams" in capsys.readouterr().err
