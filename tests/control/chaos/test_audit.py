"""The file that only grows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from proxy.control.chaos import audit
from proxy.control.chaos.audit import Audit


def test_what_was_written_is_read_in_order(tmp_path: Path) -> None:
    book = Audit(tmp_path / "a.jsonl")
    assert list(book.read()) == []
    for number in range(3):
        book.write({"event": "start", "number": number})
    assert [record["number"] for record in book.read()] == [0, 1, 2]
    assert [record["number"] for record in Audit(tmp_path / "a.jsonl").read()] == [0, 1, 2]


def test_it_is_not_for_everybody(tmp_path: Path) -> None:
    book = Audit(tmp_path / "a.jsonl")
    book.write({})
    assert os.stat(book.path).st_mode & 0o007 == 0


@pytest.mark.parametrize("torn", [b'{"event": "st', b"\xff\xfe", b"[1, 2]", b"17"])
def test_a_torn_line_is_left_out(tmp_path: Path, torn: bytes) -> None:
    book = Audit(tmp_path / "a.jsonl")
    book.write({"number": 1})
    book.path.write_bytes(book.path.read_bytes() + torn + b"\n")
    book.write({"number": 2})
    assert [record["number"] for record in book.read()] == [1, 2]


def test_only_the_end_of_a_long_file_is_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "TAIL", 100)
    book = Audit(tmp_path / "a.jsonl")
    for number in range(1000):
        book.write({"number": number})
    found = [record["number"] for record in book.read()]
    assert found == list(range(1000 - len(found), 1000))
    assert 3 <= len(found) <= 8


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Audit(tmp_path / "no" / "a.jsonl").write({})
