"""Workers that serve on after their supervisor has died, as the commands see them.

Law of this file: it connects to their takeover sockets, and closes the listening sockets that it gets.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from .runtime_paths import RuntimePaths
from .takeover import find


class Orphan(NamedTuple):
    """A process that serves without a control socket."""

    role: str
    """"worker"; or "supervisor", if it is only the file of its control socket that is gone."""
    pid: int


def orphans(paths: RuntimePaths, leave: bool = False) -> list[Orphan]:
    """The orphans; with `leave` they drain and end. Raises BindError if one does not answer."""
    return asyncio.run(_ask_all(paths, leave))


async def _ask_all(paths: RuntimePaths, leave: bool) -> list[Orphan]:
    found = []
    for each in find(paths.takeovers()):
        await each.ask()
        for offered in each.sockets:
            offered.sock.close()
        if each.pid:  # else it was just going away
            found.append(Orphan(each.role, each.pid))
            if leave:
                each.leave(taken_over=False)
        each.channel.close()
    return found
