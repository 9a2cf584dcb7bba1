"""Watching a file for changes of its content.

Law of this file: only content counts, compared with what was loaded. An editor that replaces the file, a symbolic link
that is swapped (as container orchestrators do) and a write in place are the same; a touch is nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

from ..configuration.load import digest_of, read_regular
from ..errors import ConfigError
from ..limits.threads import READ_WITHIN, run_in_thread

log = logging.getLogger("qantara")

DEBOUNCE_MS = 300
POLL_MS = 2000
"""Milliseconds between looks without a notification: some file systems send none (network, mounts of containers)."""


class Watcher:
    """Watches a file for as long as it is wanted."""

    def __init__(self, path: str, changed: Callable[[], object]) -> None:
        self.path = path
        self.changed = changed
        self.task: asyncio.Task[None] | None = None

    def adopt(self, wanted: bool, digest: str) -> None:
        """Begin or end to watch, as the configuration says that was loaded with this digest."""
        if wanted and self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._watch(digest))
        elif not wanted and self.task is not None:
            self.task.cancel()
            self.task = None

    async def close(self) -> None:
        """Watch no more."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def _watch(self, digest: str) -> None:
        async for _ in changes(self.path, digest):
            log.info("%s has changed", self.path)
            self.changed()


async def changes(path: str, before: str | None) -> AsyncGenerator[None]:
    """One step for each change of the content of the file, which had the fingerprint `before`."""
    from watchfiles import awatch

    async for _ in awatch(
        *folders(path), debounce=DEBOUNCE_MS, rust_timeout=POLL_MS, yield_on_timeout=True, recursive=False
    ):
        now = await fingerprint(path)
        if now is not None and now != before:
            before = now
            yield


def folders(path: str) -> set[Path]:
    """The folder of the file, and of what it links to."""
    return {Path(path).absolute().parent, Path(os.path.realpath(path)).parent}


async def fingerprint(path: str) -> str | None:
    """The digest of the content; None while there is no file, or it cannot be read."""
    try:
        return digest_of(await run_in_thread(READ_WITHIN, read_regular, path))
    except (ConfigError, TimeoutError):
        return None
