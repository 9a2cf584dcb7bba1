"""One running source: it is queried again and again, and its last list is kept while it fails.

Law of this file: nothing that a source raises or yields ends its caller. Its last answer is used until the next one, or
until it has failed for longer than `keep`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing

from ...configuration.sections.discover import DiscoverSection
from ...errors import DiscoveryError
from ...upstream.backend import BackendSpec
from .base import Answer, Clock, Source, completed

log = logging.getLogger("qantara")

RETRY_MIN = 1.0
"""Seconds until a source that has failed is asked again; then twice as long each time."""
FOREIGN_KEEP = 300.0
"""Seconds for which the backends of the source before this one are used while this one has said nothing."""
BACKENDS_MAX = 4096
"""Backends taken from one source."""


class WatchedSource:
    """A source, its last answer, and how it fares."""

    def __init__(
        self, upstream: str, discover: DiscoverSection, source: Source, clock: Clock, changed: Callable[[str], None]
    ) -> None:
        self.upstream = upstream
        self.discover = discover
        self.source = source
        self.clock = clock
        self.changed = changed
        self.backends: tuple[BackendSpec, ...] = ()
        self.answered: float | None = None
        """When the last good answer came (seconds since 1970)."""
        self.expires: float | None = None
        """When it is asked again (seconds, monotonic); None if the source says by itself."""
        self.error = ""
        """What is wrong now, in words."""
        self.failing_since: float | None = None
        self.pause = RETRY_MIN
        self.first = asyncio.Event()
        """Set once the source has answered or failed."""
        self.task: asyncio.Task[None] | None = None

    def start(self, backends: tuple[BackendSpec, ...] = ()) -> None:
        """`backends` are those of the source that was here before; they stay until this one answers."""
        self.backends = backends
        self.task = asyncio.get_running_loop().create_task(self._run(), name=f"discovery of {self.upstream}")

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                async with aclosing(self.source.watch()) as answers:
                    async for answer in answers:
                        self._take(checked(answer))
                        await asyncio.sleep(0)  # one that never waits must not stop all others
                return
            except DiscoveryError as error:
                self._fail(str(error))
            except Exception as error:
                words = f"{type(error).__name__}: {error}"
                self._fail(words, error)
            await self._wait()

    def _take(self, answer: Answer) -> None:
        backends, left_out = distinct(answer.backends)
        trouble = answer.trouble
        if left_out:
            words = f"only the first {BACKENDS_MAX} backends are used, {left_out} more are left out"
            trouble = f"{trouble}; {words}" if trouble else words
        if self.error and not trouble:
            log.info("upstream %s: %s: answers again", self.upstream, self.source.kind)
        self._tell(trouble)
        self.answered = self.clock.wall()
        self.expires = self.clock.now() + answer.ttl if answer.ttl is not None else None
        self.failing_since = None
        self.pause = RETRY_MIN
        self._use(tuple(completed(spec, self.discover.each) for spec in backends))
        self.first.set()

    def _fail(self, words: str, unexpected: Exception | None = None) -> None:
        if unexpected is not None and words != self.error:
            log.error("upstream %s: %s raised", self.upstream, self.source.kind, exc_info=unexpected)
        self._tell(words)
        if self.failing_since is None:
            self.failing_since = self.clock.now()
        self.expires = None
        self.first.set()

    def _tell(self, words: str) -> None:
        if words and words != self.error:
            log.warning("upstream %s: %s: %s", self.upstream, self.source.kind, words)
        self.error = words

    def _use(self, backends: tuple[BackendSpec, ...]) -> None:
        if backends != self.backends:
            self.backends = backends
            self.changed(self.upstream)

    async def _wait(self) -> None:
        """Until the next try. Backends whose time is up meanwhile are dropped."""
        pause = self.pause * (0.5 + self.clock.jitter() / 2)
        self.pause = max(RETRY_MIN, min(self.pause * 2, self.source.retry_max))
        keep = self.source.keep if self.answered is not None else min(self.source.keep, FOREIGN_KEEP)
        left = (self.failing_since or 0.0) + keep - self.clock.now()
        if self.backends and left <= pause:
            await self.clock.sleep(max(left, 0.0))
            log.error(
                "upstream %s: %s: the last answer is too old, its %d backends are dropped",
                *(self.upstream, self.source.kind, len(self.backends)),
            )
            self._use(())
            pause -= max(left, 0.0)
        await self.clock.sleep(max(pause, 0.0))


def checked(answer: object) -> Answer:
    """The answer that a source has yielded. Raises DiscoveryError if it is none."""
    if isinstance(answer, Answer):
        found = answer
    else:
        found = Answer(answer if isinstance(answer, list | tuple) else (answer,))
    wrong = [type(each).__name__ for each in found.backends if not isinstance(each, BackendSpec)]
    if wrong:
        raise DiscoveryError(
            f"the source yielded {wrong[0]}; it must yield an Answer or a list of what backend() makes"
        )
    return found


def distinct(backends: Sequence[BackendSpec]) -> tuple[tuple[BackendSpec, ...], int]:
    """Each address once, the first that names it, and no more than BACKENDS_MAX; how many are left out."""
    first: dict[str, BackendSpec] = {}
    for spec in backends:
        first.setdefault(spec.address, spec)
    found = tuple(first.values())
    return found[:BACKENDS_MAX], max(0, len(found) - BACKENDS_MAX)
