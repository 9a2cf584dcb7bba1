"""What chaos did, in a file that only grows: one JSON object a line.

Law of this file: a line is one write, so that no reader sees half of one and no two writers mix theirs; nothing is
ever changed. Readers take what can be read: a line that a crash has torn is left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

TAIL = 4 * 1024 * 1024
"""Bytes at the end of the file that are looked through."""


class Audit:
    """The audit log at a path. Its folder has to exist."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def write(self, record: dict[str, Any]) -> None:
        """Add a record. Raises OSError; then it is not there."""
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
            if os.write(fd, line) != len(line):
                raise OSError(f"{self.path}: the disk is full")
        finally:
            os.close(fd)

    def read(self) -> Iterator[dict[str, Any]]:
        """The latest records, oldest first; none if there is no file yet."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if isinstance(record, dict):
                yield record
