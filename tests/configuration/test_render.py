"""Values as the file writes them: what is shown is read as the same again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from proxy.configuration import values as units
from proxy.configuration.load import load_text
from proxy.configuration.render import quoted_if_needed, show, show_duration, show_percent, show_size
from proxy.configuration.schema import Config


@pytest.mark.parametrize(
    ("text", "shown"),
    [("250ms", "250ms"), ("2s", "2s"), ("90s", "90s"), ("300s", "5m"), ("60m", "1h"), ("1.5s", "1500ms"), ("0s", "0s")],
)
def test_durations(text: str, shown: str) -> None:
    assert show_duration(units.parse_duration(text)) == shown


@given(st.integers(0, 10**9), st.sampled_from(["ms", "s", "m", "h"]))
def test_a_duration_is_read_as_it_was(number: int, unit: str) -> None:
    try:
        seconds = units.parse_duration(f"{number}{unit}")
    except ValueError:
        return  # longer than a year
    assert units.parse_duration(show_duration(seconds)) == seconds


@pytest.mark.parametrize(("size", "shown"), [(1 << 16, "64KiB"), (3 << 20, "3MiB"), (1000, "1000"), (1 << 40, "1TiB")])
def test_sizes(size: int, shown: str) -> None:
    assert show_size(size) == shown


@given(st.integers(1, units.SIZE_MAX) | st.integers(1, 1 << 20).map(lambda number: number << 10))
def test_a_size_is_read_as_it_was(size: int) -> None:
    shown = show_size(size)
    assert units.parse_size(int(shown) if shown.isdigit() else shown) == size


@given(st.integers(0, 1_000_000))
def test_a_percentage_is_read_as_it_was(number: int) -> None:
    share = units.parse_percent(f"{number / 10_000:.4f}%")
    assert units.parse_percent(show_percent(share)) == pytest.approx(share, abs=1e-12)


@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_text_is_read_as_the_same_text(text: str) -> None:
    assert YAML(typ="safe", pure=True).load(f"[{quoted_if_needed(text)}]") == [text]


@pytest.mark.parametrize(
    "text", ["", "null", "No", "~", "1", "1.5", "1h", "a: b", "#x", "- a", "{", "*a", "&a", "a b", "x:"]
)
def test_text_that_would_mean_something_else_is_quoted(text: str) -> None:
    assert quoted_if_needed(text) == f'"{text}"'


def config(more: str) -> Config:
    return load_text(f"listeners: [{{bind: ':0'}}]\nroutes: [{{respond: {{}}}}]\n{more}").config


def test_a_section_shows_the_keys_that_were_given() -> None:
    found = config("upstreams: {app: {pool: {idle: 90s, max: 7}, retry: {buffer: 64KiB}, backends: [a:80], panic: 5%}}")
    app = found.upstreams["app"]
    assert show(app, but=("backends",)) == "{pool: {max: 7, idle: 90s}, panic: 5%, retry: {buffer: 64KiB}}"
    assert show(app.backends) == "[{address: a:80}]"


def test_secrets_are_not_shown() -> None:
    assert show({"token": "abc", "Authorization": "Basic x", "url": "u"}) == (
        "{token: (hidden), Authorization: (hidden), url: u}"
    )
