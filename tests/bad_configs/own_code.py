"""Algorithms and sources of a user's own that do something wrong, named as `tests.bad_configs.own_code:Class`."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from proxy.balancing import Balancer
from proxy.control.discovery.base import Source
from proxy.upstream.backend import Backend

LET_GO = threading.Event()
"""Releases the calls that never return, after the tests."""


class Misbehaves(Balancer):
    """Raises, or never returns, in a method once so many calls of it have passed, of whichever instance."""

    passed = 0

    def __init__(self, raises: str = "", hangs: str = "", passes: int = 0) -> None:
        self.raises, self.hangs, self.passes = raises, hangs, passes
        self.backends: Sequence[Backend] = ()
        self._do("__init__")

    def _do(self, method: str) -> None:
        if method not in (self.raises, self.hangs):
            return
        if Misbehaves.passed < self.passes:
            Misbehaves.passed += 1
            return
        Misbehaves.passed = 0
        if method == self.raises:
            raise KeyError("broken")
        LET_GO.wait()

    def members(self, listed: Sequence[Backend], in_rotation: Sequence[Backend], usable: Sequence[Backend]) -> None:
        self._do("members")
        self.backends = usable

    def pick(self, key: bytes | None) -> Backend | None:
        self._do("pick")
        return self.backends[0]


class Keyed(Misbehaves):
    needs_key = True


class Located(Misbehaves):
    needs_location = True


class Leaves(Misbehaves):
    """Ends the process."""

    def _do(self, method: str) -> None:
        raise SystemExit(3)


class Particular(Balancer):
    """Says in words of its own what is wrong with its parameter."""

    def __init__(self, level: int = 1) -> None:
        if level > 3:
            raise ValueError(f"level: must be at most 3, not {level}")

    def rebuild(self, members: Sequence[Backend]) -> None:
        raise ValueError("there are too few backends of level 3")

    def pick(self, key: bytes | None) -> Backend | None:
        return None


class Unfinished(Balancer):
    """Has forgotten `rebuild` and `pick`."""


class NoBalancer:
    """Has none of the methods."""


class NoSource:
    """Cannot be watched."""


a_number = 5


class Finds(Source):
    """Takes one parameter."""

    def __init__(self, url: str) -> None:
        self.url = url
