"""Replacing the running program by the version that is installed now.

Law of this file: one upgrade at a time, and none where the end of this process would be the end of everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ..errors import BindError
from .runtime_paths import RuntimePaths
from .safe_path import python_module
from .workers import Workers

WITHIN = 60.0
"""Seconds that a new process has to take over."""


class Upgrade:
    """Starts the successor of this process, which takes over by itself."""

    def __init__(self, path: str, paths: RuntimePaths, workers: Workers) -> None:
        self.command = python_module("proxy", "run", "-c", path, "--replace", "--run-dir", str(paths.folder))
        self.workers = workers
        self.under_way = False

    async def run(self, stopping: bool, handed_over: Callable[[], bool]) -> int:
        """The pid of the successor, once it serves. Raises BindError if it does not, or may not."""
        if os.getpid() == 1:
            raise BindError("process 1 of a container cannot be replaced: its end is that of the container")
        if self.under_way or stopping:
            raise BindError("the proxy is being replaced or stopped already")
        self.under_way = True
        try:
            return await self.workers.succeed(self.command, WITHIN, handed_over)
        finally:
            self.under_way = False
