"""An experiment as plain data, the same in the configuration, the admin API and the audit log.

Law of this file: an experiment survives a round trip through JSON, so that a run can be repeated from its line in the
audit log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from ...http1.rendering import FRAMING
from ...routing import HeaderCondition
from .rules import AT_BACKEND, STAGES_OF, Delay, Rule

OFF_PATH = ("health_lie", "backend_drain", "worker_kill")
"""Faults outside the path of requests."""
ANY = "*"
MOST_DELAY = 3600.0


class Experiment(NamedTuple):
    """A fault, its stage and the requests concerned. Times in seconds, sizes in bytes, shares from 0 to 1."""

    name: str
    fault: str
    stage: str = ""
    """"" for a fault of OFF_PATH."""
    share: float = 1.0
    duration: float = 60.0
    routes: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    prefix: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.1
    jitter: float = 0.0
    pareto: float = 0.0
    status: int = 503
    rate: int = 16384
    after: int = 1024
    header: str = ""
    healthy: bool = False

    @property
    def at_backend(self) -> bool:
        """Whether it concerns single backends."""
        return self.stage in AT_BACKEND or self.fault in ("health_lie", "backend_drain")

    @property
    def harms(self) -> bool:
        """Whether it degrades the backends concerned."""
        return self.at_backend and not (self.fault == "health_lie" and self.healthy)

    def fingerprint(self) -> str:
        """A hash of everything but the name and the duration."""
        data = self._replace(name="", duration=0.0)
        return hashlib.sha256(orjson.dumps(tuple(data))).hexdigest()[:16]

    def rule(self, run: str, seed: int, until: float, cap: float, addresses: Iterable[str], dry_run: bool) -> Rule:
        """The rule for the workers. `addresses` are the backends drawn; `until` and `cap`: see Rule."""
        return Rule(
            id=run,
            stage=self.stage,
            fault=self.fault,
            until=until,
            share=self.share,
            cap=cap,
            seed=seed,
            dry_run=dry_run,
            routes=frozenset(self.routes),
            upstreams=frozenset(self.upstreams),
            backends=frozenset(addresses),
            methods=frozenset(method.encode() for method in self.methods),
            prefix=self.prefix.encode(),
            headers=tuple(_condition(name, value) for name, value in self.headers),
            delay=Delay(self.delay, self.jitter, self.pareto, MOST_DELAY),
            status=self.status,
            rate=self.rate,
            size=self.after,
            header=self.header.lower().encode(),
        )

    def as_json(self) -> dict[str, Any]:
        """The fields that differ from the defaults, as in the audit log."""
        given = zip(self._fields, self, strict=True)
        return {key: value for key, value in given if value != self._field_defaults.get(key)}


def _condition(name: str, value: str) -> HeaderCondition:
    return HeaderCondition(name.lower().encode(), equals=None if value == ANY else value.encode("latin-1", "replace"))


def from_json(data: Mapping[str, Any]) -> Experiment:
    """The inverse of `as_json`. Raises TypeError."""
    return Experiment(**{key: _frozen(value) for key, value in data.items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def malformed(experiment: Experiment) -> Iterator[str]:
    """What is wrong with the experiment itself."""
    fault, stage = experiment.fault, experiment.stage
    if fault in OFF_PATH:
        if stage:
            yield f"{fault} happens at no stage; leave stage out"
    elif stage not in STAGES_OF[fault]:
        yield f"{fault} cannot happen at {stage}; it can at {', '.join(STAGES_OF[fault])}"
    elif experiment.backends and not experiment.at_backend:
        yield f"at {stage} no backend is picked yet; name backends at connect, send or relay"
    if fault == "corrupt_header":
        if not experiment.header:
            yield "corrupt_header needs to know which: name it with header"
        elif experiment.header.lower() in FRAMING:
            yield f"{experiment.header} frames the message; name a header that does not"
