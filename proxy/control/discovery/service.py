"""All sources of all upstreams, merged: `Discovery` calls back when the backends of an upstream change.

    discovery = Discovery(on_change)
    adoption = await discovery.prepare(config.upstreams)    # adoption.members: what a plan begins with
    discovery.adopt(adoption)                               # and the same again with each reload

Law of this file: `on_change` gets whole lists, only when they differ from the last ones, and never from two threads.
A reload restarts no source whose configuration is the same, and takes no backend away before its new source has
answered.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from ...configuration.schema import UpstreamSection
from ...configuration.sections.backends import spec_of
from ...configuration.sections.discover import DiscoverSection, find_class
from ...errors import DiscoveryError
from ...upstream.backend import BackendSpec
from .base import Clock, Source
from .members import KnownMembers
from .watched import WatchedSource

log = logging.getLogger("qantara")

OnChange = Callable[[str, tuple[BackendSpec, ...]], None]


class Adoption(NamedTuple):
    """A configuration that can be taken up."""

    upstreams: Mapping[str, UpstreamSection]
    members: dict[str, tuple[BackendSpec, ...]]
    """The backends that each upstream will have: what a new plan has to begin with."""
    sources: dict[str, WatchedSource]
    """Those that are new; they are being asked already."""


class SourceReport(NamedTuple):
    """One source of backends of an upstream, for the admin API."""

    upstream: str
    kind: str
    """static, dns, file, the module:Class of one's own, or admin."""
    asks: str
    backends: tuple[BackendSpec, ...]
    answered: float | None = None
    """When the last good answer came (seconds since 1970)."""
    ttl_left: float | None = None
    """Seconds until the source asks again; None if it does not go by time."""
    error: str = ""
    """What is wrong now, in words; "" if nothing."""
    removed: tuple[str, ...] = ()
    """Addresses that an operator has taken out."""


class Discovery:
    """Sources and run-time changes of all upstreams. Belongs to one event loop."""

    def __init__(self, on_change: OnChange, clock: Clock | None = None) -> None:
        self.on_change = on_change
        self.clock = clock or Clock()
        self.members: dict[str, KnownMembers] = {}
        self.sources: dict[str, WatchedSource] = {}
        self.told: dict[str, tuple[BackendSpec, ...]] = {}
        """What others know: from `prepare`, or from `on_change`."""
        self.closing: set[asyncio.Task[None]] = set()

    # --- the configuration ---

    async def prepare(self, upstreams: Mapping[str, UpstreamSection], patience: float = 5.0) -> Adoption:
        """Everything that can fail about a new configuration; changes nothing. New sources are asked already, so that
        they have answered when they are needed; that takes at most `patience` seconds.

        Raises ValueError if a source of one's own cannot be made. To be followed by `adopt` or `drop`.
        """
        made = {
            name: make_source(upstream.discover, self.clock)
            for name, upstream in upstreams.items()
            if upstream.discover is not None and self._asked(name) != upstream.discover
        }
        sources = {name: self._start(name, upstreams[name], source) for name, source in made.items()}
        await first_answers(sources, patience)
        members = {name: self._preview(name, upstream, sources.get(name)) for name, upstream in upstreams.items()}
        return Adoption(upstreams, members, sources)

    def adopt(self, adoption: Adoption) -> None:
        """Take up what was prepared. `adoption.members` is known to the caller: `on_change` gets only what has changed
        since."""
        upstreams = adoption.upstreams
        self.told = dict(adoption.members)
        for name in set(self.members) - set(upstreams):
            del self.members[name]
            self._stop(name)
        for name, upstream in upstreams.items():
            self.members.setdefault(name, KnownMembers()).configure([spec_of(section) for section in upstream.backends])
            if upstream.discover is None or name in adoption.sources:
                self._stop(name)
            if name in adoption.sources:
                self.sources[name] = adoption.sources[name]
            self._tell(name)

    async def drop(self, adoption: Adoption) -> None:
        """What was prepared is not wanted."""
        await asyncio.gather(*(watched.close() for watched in adoption.sources.values()))

    async def close(self) -> None:
        """End all sources. Backends stay as they are."""
        for name in list(self.sources):
            self._stop(name)
        await asyncio.gather(*self.closing)

    def _asked(self, name: str) -> DiscoverSection | None:
        watched = self.sources.get(name)
        return watched.discover if watched is not None else None

    def _start(self, name: str, upstream: UpstreamSection, source: Source) -> WatchedSource:
        """Ask a new source. Until it answers, the upstream has what it had before."""
        assert upstream.discover is not None
        before = self._found(name)
        if name in self.members and name not in self.sources and not upstream.backends:
            before = tuple(self.members[name].merged(()))
        watched = WatchedSource(name, upstream.discover, source, self.clock, self._tell)
        watched.start(before)
        return watched

    def _preview(self, name: str, upstream: UpstreamSection, new: WatchedSource | None) -> tuple[BackendSpec, ...]:
        """The backends that an upstream has once this is adopted."""
        found = new.backends if new is not None else self._found(name) if upstream.discover is not None else ()
        static = [spec_of(section) for section in upstream.backends]
        return tuple(self.members.get(name, KnownMembers()).preview(static, found))

    def _stop(self, name: str) -> None:
        watched = self.sources.pop(name, None)
        if watched is not None:
            task = asyncio.get_running_loop().create_task(watched.close())
            self.closing.add(task)
            task.add_done_callback(self.closing.discard)

    # --- what it adds up to ---

    def _found(self, name: str) -> tuple[BackendSpec, ...]:
        watched = self.sources.get(name)
        return watched.backends if watched is not None else ()

    def _tell(self, name: str) -> None:
        members = self.members.get(name)
        if members is None:
            return
        backends = tuple(members.merged(self._found(name)))
        if self.told.get(name) != backends:
            self.told[name] = backends
            try:
                self.on_change(name, backends)
            except Exception:  # a defect of the listener must not be taken for one of the source
                log.exception("upstream %s: its new backends could not be handed on", name)

    def backends(self, upstream: str) -> tuple[BackendSpec, ...]:
        """The backends that an upstream has now. Raises DiscoveryError if there is no such upstream."""
        return tuple(self._of(upstream).merged(self._found(upstream)))

    # --- operators ---

    def add(self, upstream: str, spec: BackendSpec) -> None:
        """Add a backend until the configuration says something else of it, or the process ends.

        Raises DiscoveryError if there is no such upstream, or the address is there already.
        """
        self._of(upstream).add(spec, self._found(upstream))
        log.info("upstream %s: %s was added by an operator", upstream, spec.address)
        self._tell(upstream)

    def remove(self, upstream: str, address: str) -> BackendSpec:
        """Take a backend out, wherever it comes from, and return it. Raises DiscoveryError if it is not there."""
        spec = self._of(upstream).remove(address, self._found(upstream))
        log.info("upstream %s: %s was removed by an operator", upstream, address)
        self._tell(upstream)
        return spec

    def to_write(self, upstream: str) -> tuple[BackendSpec, ...]:
        """What `backends` of the file has to list so that run-time changes last: discovered ones are not in it."""
        return tuple(self._of(upstream).merged(()))

    def _of(self, upstream: str) -> KnownMembers:
        members = self.members.get(upstream)
        if members is None:
            raise DiscoveryError(f"there is no upstream {upstream}; there are: {', '.join(self.members) or 'none'}")
        return members

    # --- for people ---

    def report(self) -> list[SourceReport]:
        """The sources of the backends of each upstream, and the backends of each."""
        return [entry for name in self.members for entry in self._report(name)]

    def _report(self, name: str) -> Iterator[SourceReport]:
        members, watched = self.members[name], self.sources.get(name)
        if members.static:
            yield SourceReport(name, "static", "the configuration", tuple(members.static.values()))
        if watched is not None:
            left = max(0.0, watched.expires - self.clock.now()) if watched.expires is not None else None
            kind, asks = watched.discover.source or watched.source.kind, watched.source.asks()
            yield SourceReport(name, kind, asks, watched.backends, watched.answered, left, watched.error)
        if members.changes:
            added = tuple(change.spec for change in members.changes.values() if change.spec is not None)
            removed = tuple(address for address, change in members.changes.items() if change.spec is None)
            yield SourceReport(name, "admin", "", added, removed=removed)


async def first_answers(sources: Mapping[str, WatchedSource], patience: float) -> None:
    """Wait until each has answered or failed once, at most `patience` seconds."""
    try:
        async with asyncio.timeout(patience):
            for watched in sources.values():
                await watched.first.wait()
    except TimeoutError:
        late = [name for name, watched in sources.items() if not watched.first.is_set()]
        log.warning("no answer yet about the backends of %s; going on without", ", ".join(late))
    except asyncio.CancelledError:
        await asyncio.gather(*(watched.close() for watched in sources.values()))
        raise


# --- making sources ---------------------------------------------------------------------------------------


def make_source(discover: DiscoverSection, clock: Clock) -> Source:
    """The source that a configuration asks for. Raises ValueError with a sentence for people."""
    if discover.dns is not None:
        from .dns_source import DnsSource  # here, for the library takes a while to load

        return DnsSource(discover, clock)
    if discover.file is not None:
        from .file_source import FileSource

        return FileSource(discover, clock)
    kind = find_class(discover)
    try:
        return kind(**discover.params)
    except Exception as error:
        raise ValueError(f"{discover.source} cannot be made: {error}") from error
