"""Watching a file for changes of what stands in it.

Law of this file: only content counts. An editor that replaces the file, a symbolic link that is swapped (as container
orchestrators do) and a write in place are the same; a touch is nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator
from pathlib import Path

from watchfiles import awatch

DEBOUNCE_MS = 300
POLL_MS = 2000
"""Milliseconds after which is looked anyway: some file systems tell nothing (network, mounts of containers)."""


async def changes(path: str) -> AsyncGenerator[None]:
    """One step for each change of the content of the file."""
    before = fingerprint(path)
    async for _ in awatch(
        *folders(path), debounce=DEBOUNCE_MS, rust_timeout=POLL_MS, yield_on_timeout=True, recursive=False
    ):
        now = fingerprint(path)
        if now is not None and now != before:
            before = now
            yield


def folders(path: str) -> set[Path]:
    """The folder of the file, and of what it links to."""
    return {Path(path).absolute().parent, Path(os.path.realpath(path)).parent}


def fingerprint(path: str) -> bytes | None:
    """A hash of the content; None while there is no file."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return None
