"""The edge cache, of which only the keys are there yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..findings import Finding

if TYPE_CHECKING:
    from ..schema import Config


NO_EFFECT = "has no effect in this version"


def lint(config: Config) -> Iterator[Finding]:
    if config.cache is not None:
        yield Finding(("cache",), NO_EFFECT, at_key=True)
    for index, route in enumerate(config.routes):
        if route.cache:
            yield Finding(("routes", index, "cache"), NO_EFFECT, at_key=True)
