"""Backends written back into the configuration: what stays as it was, byte for byte, and what is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.configuration import writeback
from proxy.configuration.load import load, load_text
from proxy.configuration.sections.backends import spec_of
from proxy.configuration.writeback import edit, write_back
from proxy.control.discovery.base import backend
from proxy.errors import WriteBackError
from proxy.upstream.backend import BackendSpec

A, B, C, D = (backend(f"{name}:80") for name in "abcd")
HEAD = "# mine\nlisteners: [{bind: ':0'}]   # where\nroutes: [{upstream: app}]\n"


def edited(upstreams: str, *wanted: BackendSpec, upstream: str = "app") -> str:
    """What becomes of the section `upstreams`; the rest of the file is untouched."""
    after = edit(HEAD + upstreams, "c.yaml", upstream, wanted)
    assert after.startswith(HEAD)
    listed = load_text(after).config.upstreams[upstream].backends
    assert [spec_of(section) for section in listed] == list(wanted)
    return after.removeprefix(HEAD)


BLOCK = """\
upstreams:
  app:
    # the old ones
    backends:
      - a:80       # in the cellar
      # in the attic
      - {address: b:80, weight: 1}
      - address: c:80
        region: null   # nowhere
    pool: {max: 7}   # few
"""


def test_a_list_in_lines_gets_a_line() -> None:
    assert edited(BLOCK, A, B, C, D) == BLOCK.replace("    pool:", "      - d:80\n    pool:")


def test_a_list_in_lines_loses_those_lines() -> None:
    assert edited(BLOCK, B, C) == BLOCK.replace("      - a:80       # in the cellar\n", "")
    assert edited(BLOCK, A, B) == BLOCK.replace("      - address: c:80\n        region: null   # nowhere\n", "")


def test_an_entry_that_changes_is_written_anew_and_keeps_its_place() -> None:
    heavy = B._replace(weight=9, region="eu")
    assert edited(BLOCK, A, heavy, C) == BLOCK.replace("b:80, weight: 1}", "b:80, weight: 9, region: eu}")
    assert edited(BLOCK, A._replace(weight=0), B, C) == BLOCK.replace("- a:80 ", "- {address: a:80, weight: 0} ")
    assert edited(BLOCK, A, B, C._replace(weight=2)) == BLOCK.replace(
        "- address: c:80\n        region: null   #", "- {address: c:80, weight: 2}   #"
    )


FULL = backend("d:80", 2, "eu", zone="1a", priority=3, labels={"version": "1.10", "on": "yes", "note": "a:b"})
AS_WRITTEN = (
    '{address: d:80, weight: 2, region: eu, zone: "1a", priority: 3, labels: {note: a:b, "on": "yes", version: "1.10"}}'
)


def test_all_that_is_said_of_a_backend_is_written() -> None:
    """What YAML would take for a number or a truth value is put in quotes."""
    assert edited(BLOCK, A, B, C, FULL) == BLOCK.replace("    pool:", f"      - {AS_WRITTEN}\n    pool:")
    flow = "upstreams: {app: {backends: [a:80]}}\n"
    assert edited(flow, A, FULL) == flow.replace("a:80", f"a:80, {AS_WRITTEN}")
    moved = FULL._replace(zone="b", priority=0, labels=(("version", "2"),))
    assert edited(flow.replace("a:80", AS_WRITTEN), moved) == flow.replace(
        "a:80", '{address: d:80, weight: 2, region: eu, zone: b, labels: {version: "2"}}'
    )


def test_everything_at_once() -> None:
    assert edited(BLOCK, B._replace(weight=2), D) == (
        "upstreams:\n  app:\n    # the old ones\n    backends:\n      # in the attic\n"
        "      - {address: b:80, weight: 2}\n      - d:80\n    pool: {max: 7}   # few\n"
    )


def test_when_none_of_the_old_stays_the_list_is_written_anew() -> None:
    assert edited(BLOCK, D) == (
        "upstreams:\n  app:\n    # the old ones\n    backends: [d:80]   # nowhere\n    pool: {max: 7}   # few\n"
    )


def test_a_list_that_is_not_indented() -> None:
    text = "upstreams:\n  app:\n    backends:\n    - a:80\n    - b:80\n"
    assert edited(text, A, B, C) == text + "    - c:80\n"
    assert edited(text, B) == text.replace("    - a:80\n", "")


def test_a_file_without_an_end_of_line() -> None:
    text = "upstreams:\n  app:\n    backends:\n    - a:80"
    assert edited(text, A, B) == text + "\n    - b:80"


def test_line_ends_of_windows_stay() -> None:
    text = "upstreams:\r\n  app:\r\n    backends:\r\n    - a:80\r\n    - b:80\r\n"
    assert edited(text, B, C) == text.replace("    - a:80\r\n", "") + "    - c:80\r\n"


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("[a:80, b:80, c:80]", (A, B, C, D), "[a:80, b:80, c:80, d:80]"),
        ("[a:80, b:80, c:80]", (B, C), "[b:80, c:80]"),
        ("[a:80, b:80, c:80]", (A, C), "[a:80, c:80]"),
        ("[a:80, b:80, c:80]", (A, B), "[a:80, b:80]"),
        ("[a:80, b:80, c:80]", (C,), "[c:80]"),
        ("[a:80, b:80, c:80]", (C, D), "[c:80, d:80]"),
        ("[a:80, b:80, c:80]", (A,), "[a:80]"),
        ("[a:80, b:80, c:80]", (A, D), "[a:80, d:80]"),
        ("[a:80, b:80, c:80]", (D,), "[d:80]"),
        ("['a:80', {address: \"b:80\"}]", (B._replace(weight=4),), "[{address: b:80, weight: 4}]"),
        ("[\n    a:80,  # first\n    b:80,\n  ]", (A, B, C), "[\n    a:80,  # first\n    b:80, c:80,\n  ]"),
    ],
)
def test_a_list_in_brackets(before: str, wanted: Sequence[BackendSpec], after: str) -> None:
    text = "upstreams: {app: {backends: %s, pool: {max: 3}}} # end\n"
    assert edited(text % before, *wanted) == text % after


def test_ipv6_and_unix_sockets_are_quoted_as_they_must_be() -> None:
    odd = [backend("[fd00::1]:80"), backend("unix:/run/a b.sock", 2), backend("127.0.0.1:80", 1, "eu west")]
    text = edited("upstreams: {app: {backends: [a:80]}}\n", A, *odd)
    assert text == (
        'upstreams: {app: {backends: [a:80, "[fd00::1]:80", {address: "unix:/run/a b.sock", weight: 2}, '
        '{address: 127.0.0.1:80, region: "eu west"}]}}\n'
    )


def test_json_is_a_configuration_too(tmp_path: Path) -> None:
    text = (
        '{"listeners": [{"bind": ":0"}], "routes": [{"upstream": "app"}], "upstreams": {"app": {"backends": ["a:80"]}}}'
    )
    assert edit(text, "c", "app", [A, B]) == text.replace('["a:80"]', '["a:80", b:80]')


DISCOVER = "discover: {dns: 'x:80'}"


def test_an_upstream_that_had_none_gets_the_key() -> None:
    lines = f"upstreams:\n  app:\n    # found\n    {DISCOVER}\n"
    assert edited(lines, A) == f"upstreams:\n  app:\n    # found\n    backends: [a:80]\n    {DISCOVER}\n"
    braces = f"upstreams: {{app: {{{DISCOVER}}}}}\n"
    assert edited(braces, A, B) == f"upstreams: {{app: {{backends: [a:80, b:80], {DISCOVER}}}}}\n"
    assert edited(lines) == lines


def test_with_discovery_the_list_may_become_empty_and_full_again() -> None:
    lines = f"upstreams:\n  app:\n    backends:\n    - a:80\n    {DISCOVER}\n"
    empty = f"upstreams:\n  app:\n    backends: []\n    {DISCOVER}\n"
    assert edited(lines) == empty
    assert edited(empty, B) == empty.replace("[]", "[b:80]")


def test_other_upstreams_are_not_touched() -> None:
    text = (
        "upstreams:\n  one: {backends: [a:80]}\n  app: {backends: [a:80]}   # this\n  two:\n    backends:\n    - a:80\n"
    )
    assert edited(text, A, B) == text.replace("[a:80]}   # this", "[a:80, b:80]}   # this")
    assert edited(text, A, B, upstream="two") == text + "    - b:80\n"


@pytest.mark.parametrize(
    ("upstreams", "wanted", "words"),
    [
        ("{app: {backends: [a:80]}}", (), "would not be good any more: must not be empty without discover"),
        ("{one: {backends: &l [a:80]}, app: {backends: *l}}", (A, B), "cannot be edited in place (are they an alias"),
        ("{app: {backends: &l [a:80]}, two: {backends: *l}}", (A, B), "cannot be edited in place (are they an alias"),
        ("{app: &u {backends: [a:80]}, two: *u}", (A, B), "cannot be edited in place (are they an alias"),
        ("{other: {backends: [a:80]}}", (A,), "there is no upstream app"),
    ],
)
def test_what_cannot_be_done_in_place_is_refused(upstreams: str, wanted: Sequence[BackendSpec], words: str) -> None:
    with pytest.raises(WriteBackError, match=words.replace("(", r"\(")):
        edit(f"listeners: [{{bind: ':0'}}]\nroutes: [{{respond: {{}}}}]\nupstreams: {upstreams}\n", "c", "app", wanted)


SPECS = st.builds(
    lambda host, weight, region: backend(f"{host}:80", weight, region),
    st.sampled_from("abcdef"),
    st.sampled_from([0, 1, 1, 7]),
    st.sampled_from([None, None, "eu", "it's: [odd]", "no", "#1"]),
)
LISTS = st.lists(SPECS, min_size=1, max_size=5, unique_by=lambda spec: spec.address)


def in_brackets(specs: Sequence[BackendSpec]) -> str:
    return f"upstreams: {{app: {{backends: [{', '.join(map(writeback.written, specs))}]}}}}\n"


def in_lines(specs: Sequence[BackendSpec]) -> str:
    lines = "".join(f"      - {writeback.written(spec)} # - {index}\n" for index, spec in enumerate(specs))
    return f"upstreams:\n  app:\n    backends:\n{lines}    # - end\n    pool: {{max: 3}}\n"


def spread(specs: Sequence[BackendSpec]) -> str:
    lines = "".join(
        f"    -\n      address: {spec.address}\n      weight: {spec.weight}\n\n      # of {spec.address}\n"
        for spec in specs
    )
    return f"upstreams:\n  app:\n    backends:\n{lines}\n"


@pytest.mark.parametrize("form", [in_brackets, in_lines, spread])
@settings(max_examples=40)
@given(before=LISTS, after=LISTS)
def test_whatever_is_wanted_comes_out_or_nothing_does(
    form: object, before: list[BackendSpec], after: list[BackendSpec]
) -> None:
    assert callable(form)
    text = HEAD + form(before)
    result = edit(text, "c.yaml", "app", after)
    listed = load_text(result).config.upstreams["app"].backends
    assert {spec_of(section) for section in listed} == set(after)
    assert result.startswith(HEAD)


# --- the file ----------------------------------------------------------------------------------------------

TEXT = HEAD + "upstreams: {app: {backends: [a:80]}} # ü\n"


def test_the_file_is_replaced_and_loaded(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    loaded = load(file)
    again = write_back(file, loaded.digest, "app", [A, B])
    assert file.read_text() == TEXT.replace("[a:80]", "[a:80, b:80]")
    assert again.digest == load(file).digest != loaded.digest
    assert [str(section.address) for section in again.config.upstreams["app"].backends] == ["a:80", "b:80"]
    assert write_back(file, again.digest, "app", [A]).digest == loaded.digest
    assert os.listdir(tmp_path) == ["c.yaml"]


def test_a_file_that_says_so_already_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    before = file.stat()
    write_back(file, load(file).digest, "app", [A])
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_that_has_changed_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    digest = load(file).digest
    file.write_text(TEXT + "# a colleague\n")
    with pytest.raises(WriteBackError, match="has changed since it was loaded; reload it, then try again"):
        write_back(file, digest, "app", [A, B])
    assert file.read_text() == TEXT + "# a colleague\n"


def test_one_that_changes_at_the_last_moment_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(TEXT)
    digest = load(file).digest
    real = os.fsync

    def colleague(descriptor: int) -> None:
        real(descriptor)
        file.write_text("# a colleague\n")

    monkeypatch.setattr(os, "fsync", colleague)
    with pytest.raises(WriteBackError, match="has changed since it was loaded"):
        write_back(file, digest, "app", [A, B])
    assert file.read_text() == "# a colleague\n"
    assert os.listdir(tmp_path) == ["c.yaml"]


def test_mode_and_owner_stay_and_a_link_stays_one(tmp_path: Path) -> None:
    real = tmp_path / "real.yaml"
    real.write_text(TEXT)
    real.chmod(0o640)
    if os.getuid() == 0:
        os.chown(real, 1234, 4321)
    owner = (real.stat().st_uid, real.stat().st_gid)
    link = tmp_path / "c.yaml"
    link.symlink_to("real.yaml")
    write_back(link, load(link).digest, "app", [A, B])
    assert link.is_symlink()
    assert "b:80" in real.read_text()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert (real.stat().st_uid, real.stat().st_gid) == owner


def test_a_byte_order_mark_stays(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    write_back(file, load(file).digest, "app", [A, B])
    assert file.read_bytes() == b"\xef\xbb\xbf" + TEXT.replace("[a:80]", "[a:80, b:80]").encode()


def test_a_file_that_is_gone_or_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.yaml"
    with pytest.raises(WriteBackError, match="cannot be read: No such file"):
        write_back(file, "", "app", [A])
    file.write_text(TEXT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteBackError, match="cannot be written: No space left on device"):
        write_back(file, load(file).digest, "app", [A, B])
    assert file.read_text() == TEXT
    assert os.listdir(tmp_path) == ["c.yaml"]
