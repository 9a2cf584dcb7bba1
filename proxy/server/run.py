"""`qantara run`: a supervisor and its workers, from their configuration to the last request.

Law of this file: the exit code is 0 after a clean stop, 1 if it could not start or had to cut requests off, 2 if the
configuration is refused. What signals do is in supervisor.py: SIGTERM and SIGINT drain, a second one stops at once;
SIGHUP reloads; SIGUSR1 opens the access logs anew; SIGUSR2 upgrades.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys

from ..control.reload import Checked, check
from ..errors import BindError, ConfigError
from .logs import configure_logging
from .runtime_paths import RuntimePaths, run_dir
from .supervisor import Supervisor

log = logging.getLogger("qantara")


def run(path: str, folder: str | None = None, replace: bool = False) -> int:
    """Serve the configuration in the file `path` until a signal comes. Returns the exit code.

    `folder` is where the control socket lies; with `replace` a proxy that serves this file already is taken over from.
    """
    configure_logging("supervisor")
    try:
        checked = check(path)
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    for warning in checked.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    raise_file_limit(checked.plan.settings.connections)
    try:
        return asyncio.run(serve(path, checked, RuntimePaths(run_dir(folder), path), replace))
    except BindError as error:
        print(f"error: {error}", file=sys.stderr)
    return 1


async def serve(path: str, checked: Checked, paths: RuntimePaths, replace: bool) -> int:
    """Run a supervisor in a loop of its own."""
    return await Supervisor(path, checked, paths, replace).run()


def raise_file_limit(connections: int) -> None:
    """Take all the file descriptors that this process may have: a connection through the proxy needs two. Workers
    inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # not allowed here: the soft limit then is the limit
            hard = soft
    if hard != resource.RLIM_INFINITY and hard < 2 * connections:
        log.info(
            "a process may have %d open files, too few for limits.connections (%d) with a backend connection each; "
            "raise it with ulimit -n or LimitNOFILE=",
            hard,
            connections,
        )
