"""The key of a request for algorithms that go by the location of its client.

Law of this file: the location comes first, so that a key without further parts is the location itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...balancing.keys import Key
from ...exchange import Exchange
from ...stages.request_key import RequestKey
from .locator import Locator


class LocatedKey(RequestKey):
    """The location of the client, then after a line feed the key of `parts`, if the request has one."""

    def __init__(self, locator: Locator, parts: Sequence[Key | None]) -> None:
        super().__init__(parts)
        self.locator = locator

    def of(self, x: Exchange) -> bytes | None:
        client, locator = x.client, self.locator
        assert client is not None
        location = locator.said(x.head) if client.trusted else None
        if location is None and locator.by_address:
            location = locator.of(x.client_address())
        location = location or locator.default
        key = RequestKey.of(self, x) if self.parts else None
        return location if key is None else location + b"\n" + key
