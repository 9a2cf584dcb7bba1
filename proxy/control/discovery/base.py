"""The contract of a discovery source: one class that says again and again which backends there are.

    class Consul(Source):
        def __init__(self, url: str) -> None: ...

        async def watch(self):
            while True:
                yield [backend("10.0.0.7:9001", weight=2), backend("10.0.0.8:9001")]
                await asyncio.sleep(10)

Name it in YAML: `discover: {source: "my_sources:Consul", url: "http://127.0.0.1:8500"}`.

Law of this file: a source only says what there is. Retries, keeping what it said last, merging and telling the workers
are done for it.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any, NamedTuple

from ...upstream.backend import BackendSpec
from ..sections.balance import Backend
from ..sections.discovery import Each


class Answer(NamedTuple):
    """What a source has found: all backends, not only those that are new."""

    backends: Sequence[BackendSpec]
    ttl: float | None = None
    """Seconds until the source asks again; None: it says by itself when something changes."""
    trouble: str = ""
    """What went wrong although there is an answer, in words."""


class Source:
    """Base of all sources. It is made in the supervisor, once for each upstream that names it."""

    kind = "source"
    keep = math.inf
    """Seconds for which its last answer is used after it has failed."""
    retry_max = 30.0
    """Seconds between two tries after failures, at most."""

    def asks(self) -> str:
        """What is asked, and where, for people."""
        return ""

    def watch(self) -> AsyncGenerator[Answer | Sequence[BackendSpec], None]:
        """Yields an Answer, or just its backends, at once and then whenever it may have changed.

        May raise: DiscoveryError with a sentence for people, or anything. It is then called again after a while, and
        what it yielded last stays in use for `keep` seconds. If it returns, its last answer stays. It runs in an
        event loop that others share, so it must not block.
        """
        raise NotImplementedError


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
    return spec_of(Backend.model_validate({"address": address, "weight": weight, "region": region, **more}))


def completed(spec: BackendSpec, each: Each) -> BackendSpec:
    """A backend that a source has found, with what the configuration says of all of them."""
    return spec._replace(
        region=spec.region if spec.region is not None else each.region,
        zone=spec.zone if spec.zone is not None else each.zone,
        labels=tuple(sorted({**each.labels, **dict(spec.labels)}.items())),
    )


def spec_of(section: Backend) -> BackendSpec:
    """What the data path knows of a backend of the configuration."""
    at = section.address
    return BackendSpec(
        *(str(at), at.host, at.port, at.path, section.weight),
        *(section.region, section.priority, section.zone, tuple(sorted(section.labels.items()))),
    )
