"""The key of a request for algorithms that go by the location of its client.

Law of this file: the location comes first, so that a key without further parts is the location itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...balancing.keys import Key
from ...exchange import Exchange
from ...plan import LinkContext, RouteSpec
from ...stages.request_key import RequestKey
from .locator import Locator, open_locator


class LocatedKey(RequestKey):
    """The location of the client, then after a line feed the key of `parts`, if the request has one."""

    def __init__(self, locator: Locator, parts: Sequence[Key | None]) -> None:
        super().__init__(parts)
        self.locator = locator

    def of(self, x: Exchange) -> bytes | None:
        client, locator = x.client, self.locator
        assert client is not None
        location = locator.said(x.head) if client.peer.trusted else None
        if location is None and locator.by_address:
            location = locator.of(x.client_address())
        location = location or locator.default
        key = RequestKey.of(self, x) if self.parts else None
        return location if key is None else location + b"\n" + key


def link_location(spec: RouteSpec, context: LinkContext, key: RequestKey | None) -> RequestKey | None:
    """The location in front of the key, where the algorithm goes by it. Raises ValueError if a database cannot be
    read."""
    if spec.key is None or spec.key.locator is None:
        return key
    wanted = spec.key.locator
    locator = context.once(("locator", id(wanted)), lambda: open_locator(wanted))  # routes share the object
    return LocatedKey(locator, key.parts if key is not None else ())
