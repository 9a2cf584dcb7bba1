"""Where clients connect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..fields import Bind, Count, Section
from ..findings import Finding, PlainData, same_address
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ...plan import ListenerSpec
    from ..site import Site


class ListenerSection(Section):
    bind: Bind
    """Where to listen: host:port, [v6]:port, :port for all addresses, or unix:/path. Port 0: any free one."""
    backlog: Count = 4096
    """Connections that may wait in the kernel to be accepted (listen(2))."""


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    yield from same_address(("listeners",), parent.get("listeners"), "bind")


def to_spec(listeners: tuple[ListenerSection, ...], site: Site) -> tuple[ListenerSpec, ...]:
    from ...plan import ListenerSpec

    return tuple(
        ListenerSpec(str(listener.bind), listener.bind.host, listener.bind.port, listener.bind.path, listener.backlog)
        for listener in listeners
    )
