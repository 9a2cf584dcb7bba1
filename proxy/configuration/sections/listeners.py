"""Where clients connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ...plan import ListenerSpec
from ..fields import Bind, Count, Section
from ..findings import Document, Finding, same_address
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ..site import Site


class ListenerSection(Section):
    bind: Bind
    """Where to listen: host:port, [v6]:port, :port for all addresses, or unix:/path. Port 0: any free one."""
    backlog: Count = 4096
    """Connections that may wait in the kernel to be accepted (listen(2))."""


def rules(path: FindingPath, parent: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    yield from same_address(("listeners",), parent.get("listeners"), "bind")


def to_spec(listeners: tuple[ListenerSection, ...], site: Site) -> tuple[ListenerSpec, ...]:
    return tuple(
        ListenerSpec(str(listener.bind), listener.bind.host, listener.bind.port, listener.bind.path, listener.backlog)
        for listener in listeners
    )
