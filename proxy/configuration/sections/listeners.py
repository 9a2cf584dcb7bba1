"""Listeners: the addresses that clients connect to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..effects import RESTART, ConfigChange, value_changes
from ..fields import Bind, Count, Section
from ..findings import Finding, PlainData, same_address
from ..findings import Path as FindingPath

if TYPE_CHECKING:
    from ...plan import ListenerSpec
    from ..site import Site


class ListenerSection(Section):
    bind: Bind
    """The address: host:port, [v6]:port, :port for all addresses, or unix:/path. Port 0: any free one."""
    backlog: Count = 4096
    """The accept queue: connections that may wait in the kernel to be accepted (listen(2))."""


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    yield from same_address(("listeners",), parent.get("listeners"), "bind")


def to_spec(listeners: tuple[ListenerSection, ...], site: Site) -> tuple[ListenerSpec, ...]:
    from ...plan import ListenerSpec

    return tuple(
        ListenerSpec(str(listener.bind), listener.bind.host, listener.bind.port, listener.bind.path, listener.backlog)
        for listener in listeners
    )


def listener_changes(old: Sequence[ListenerSection], new: Sequence[ListenerSection]) -> Iterator[ConfigChange]:
    """The changes of a reload in the listeners, which are identified by their addresses."""
    before, after = ({str(each.bind): each for each in listeners} for listeners in (old, new))
    for bind in before:
        if bind not in after:
            effect = "is closed; connections on it are drained"
            yield ConfigChange("removed", f"listener {bind}", effect=effect)
    for bind, listener in after.items():
        if bind not in before:
            yield ConfigChange("added", f"listener {bind}", effect="is opened")
            continue
        for change in value_changes((), before[bind], listener, None):
            effect = f"{RESTART}: the socket is open already" if change.what == "backlog" else change.effect
            yield change._replace(what=f"listener {bind} {change.what}", effect=effect)
