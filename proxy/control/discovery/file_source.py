"""Backends from a watched file: a list in YAML or JSON, with the keys that `backends` has.

Law of this file: an invalid file changes nothing, and its errors are reported with their places. The file is polled,
not watched by inotify, so that changes of symbolic links and mounts in its path are detected too.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Annotated, NamedTuple, TypeVar

from pydantic import ValidationError

from ...configuration.fields import List, Section, bare
from ...configuration.findings import Finding
from ...configuration.load import read_document
from ...configuration.rules import model_findings
from ...configuration.sections.backends import BackendSection, spec_of
from ...configuration.sections.discover import DiscoverSection
from ...errors import ConfigError, DiscoveryError
from ...limits.threads import READ_WITHIN, run_in_thread
from ...upstream.backend import BackendSpec
from .base import Answer, Clock, Source

T = TypeVar("T")

MOST_TOLD = 3
"""Problems of a bad file that are reported."""


class BackendFile(Section):
    """What the list in the file is checked as."""

    backends: List[Annotated[BackendSection, bare("address", BackendSection)]]


class Seen(NamedTuple):
    """The identity of one state of a file."""

    file: tuple[int, int]
    changed: tuple[int, int]


class FileSource(Source):
    """Looks at one file again and again."""

    kind = "file"

    def __init__(self, discover: DiscoverSection, clock: Clock) -> None:
        if discover.file is None:
            raise ValueError("discover.file is missing")
        self.path = discover.file
        self.interval = self.retry_max = discover.interval
        self.clock = clock

    def asks(self) -> str:
        return self.path

    async def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
        used = last = await self._look()
        yield await self._read()
        while True:
            await self.clock.sleep(self.interval)
            seen = await self._look()
            resting, last = seen == last, seen
            # one that is written in place may be read half: it must have rested; a new one is whole
            if seen != used and (resting or seen.file != used.file):
                used = seen
                yield await self._read()

    async def _look(self) -> Seen:
        try:
            found = await self._soon(os.stat)
        except OSError as error:
            raise DiscoveryError(f"{self.path}: cannot be read: {error.strerror}") from None
        return Seen((found.st_dev, found.st_ino), (found.st_ctime_ns, found.st_size))

    async def _read(self) -> Answer:
        return Answer(await self._soon(read_backends))

    async def _soon(self, read: Callable[[str], T]) -> T:
        """What `read` finds in the file, in good time."""
        try:
            return await run_in_thread(READ_WITHIN, read, self.path)
        except TimeoutError:
            raise DiscoveryError(f"{self.path}: cannot be read within {READ_WITHIN:g} s") from None


def read_backends(path: str) -> tuple[BackendSpec, ...]:
    """The backends that a file lists. Raises DiscoveryError with the place of what is wrong."""
    try:
        return tuple(spec_of(section) for section in _checked(path))
    except ConfigError as error:
        more = len(error.problems) - MOST_TOLD
        words = "; ".join(map(str, error.problems[:MOST_TOLD]))
        raise DiscoveryError(f"{words}; and {more} more" if more > 0 else words) from None


def _checked(path: str) -> tuple[BackendSection, ...]:
    document = read_document(path, "a list of backends; write [] if there are none")
    if not isinstance(document.data, list):
        raise ConfigError(document.report([Finding((), "must be a list of backends, such as [127.0.0.1:9001]")]))
    try:
        backends = BackendFile.model_validate({"backends": document.data}).backends
    except ValidationError as error:
        findings = model_findings(error, BackendFile)
        raise ConfigError(document.report(each._replace(path=each.path[1:]) for each in findings)) from None
    first: dict[str, int] = {}
    for index, section in enumerate(backends):
        if (at := first.setdefault(str(section.address), index)) != index:
            repeated = Finding((index,), f"{section.address} is given twice; the first is [{at}]")
            raise ConfigError(document.report([repeated]))
    if document.problems:
        raise ConfigError(document.report([]))
    return backends
