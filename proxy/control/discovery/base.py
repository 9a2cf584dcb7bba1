"""The contract of a discovery source: a class that yields the list of backends again and again.

    class Consul(Source):
        def __init__(self, url: str) -> None: ...

        async def watch(self):
            while True:
                yield [backend("10.0.0.7:9001", weight=2), backend("10.0.0.8:9001")]
                await asyncio.sleep(10)

Name it in YAML: `discover: {source: "my_sources:Consul", url: "http://127.0.0.1:8500"}`.

Law of this file: a source only yields lists. Retries, keeping the last list, merging and the distribution to workers
are done by the service.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from ...configuration.sections.backends import BackendSection, spec_of
from ...configuration.sections.discover import Each
from ...upstream.backend import BackendSpec
from ...upstream.source import Answer, Source

__all__ = ["Answer", "Clock", "Source", "backend", "completed"]


class Clock:
    """The time that sources go by. Tests have one that they wind."""

    def now(self) -> float:
        """Seconds, monotonic."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970, for people."""
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """A number from 0 to 1, so that many proxies do not ask at the same moment."""
        return random.random()


def backend(address: str, weight: int = 1, region: str | None = None, **more: Any) -> BackendSpec:
    """A backend from what a configuration would say of it: `more` may be zone, priority and labels.

    Raises ValueError with a sentence for people.
    """
    return spec_of(BackendSection.model_validate({"address": address, "weight": weight, "region": region, **more}))


def completed(spec: BackendSpec, each: Each) -> BackendSpec:
    """A backend that a source has found, with what the configuration says of all of them."""
    return spec._replace(
        region=spec.region if spec.region is not None else each.region,
        zone=spec.zone if spec.zone is not None else each.zone,
        labels=tuple(sorted({**each.labels, **dict(spec.labels)}.items())),
    )
