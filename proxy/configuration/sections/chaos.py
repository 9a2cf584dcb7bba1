"""Chaos: fault-injection experiments, and their safeguards.

The modules of fault injection are imported only for configurations with rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ..fields import (
    BackendAddress,
    Count,
    Duration,
    File,
    GraceDuration,
    HeaderValue,
    List,
    Method,
    Path,
    Percent,
    Section,
    Size,
    Token,
    Whole,
    percent,
    size,
)
from ..fields import duration as lasting  # `duration` is a key here
from ..findings import Finding, PlainData, dotted, entries, mapping, no_upstream
from ..findings import Path as FindingPath
from ..values import quoted

if TYPE_CHECKING:
    from ...features.chaos.experiment import Experiment

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def _checked_name(value: str) -> str:
    if _NAME.fullmatch(value) is None:
        raise ValueError(f"{quoted(value)} is no name; use up to 64 letters, digits, _, . and -")
    return value


ChaosName = Annotated[str, AfterValidator(_checked_name)]
Text = Annotated[str, Field(min_length=1)]
StageName = Literal["accept", "route", "admit", "lookup", "pick", "connect", "send", "relay", "store", "finish"]
FaultName = Literal[
    "delay",
    "abort",
    "reset",
    "black_hole",
    "connect_refused",
    "connect_delay",
    "bandwidth",
    "truncate",
    "corrupt_header",
    "slow_close",
    "health_lie",
    "backend_drain",
    "worker_kill",
]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class ChaosMatch(Section):
    """The requests concerned; all conditions must hold, and absent ones match everything."""

    routes: List[Text] = ()
    """Routes, by name."""
    upstreams: List[Text] = ()
    """Upstreams, by name."""
    backends: List[BackendAddress] = ()
    """Backends, by address. If empty, a fault at a backend draws random ones, as many as the blast radius allows."""
    methods: List[Method] = ()
    """Methods."""
    prefix: Path | None = None
    """A prefix of the path."""
    headers: Mapping[Token, HeaderValue] = Field(default_factory=dict)
    """Headers with their values; "*" matches any value."""


class ChaosRule(Section):
    """One experiment: a fault, its stage, the requests concerned and its duration."""

    name: ChaosName
    """The name of the experiment, in commands and in the audit log."""
    fault: FaultName
    """The fault that is injected."""
    stage: StageName | None = None
    """The stage before which it is injected; the default depends on the fault."""
    percentage: Percent = percent("100%")
    """The share of the matching requests that gets the fault."""
    duration: Duration | None = None
    """The duration of the experiment; chaos.limits.duration if absent."""
    seed: Whole | None = None
    """The seed of random draws, to repeat a run; drawn and logged if absent."""
    start: bool = False
    """Whether it starts with the configuration, rather than by a command."""
    match: ChaosMatch = Field(default_factory=ChaosMatch)
    """The requests concerned."""
    delay: Duration = lasting("100ms")
    """For delay, connect_delay and slow_close: the delay."""
    jitter: GraceDuration = Field(default=0.0, json_schema_extra={"default": "0s"})
    """The largest deviation from `delay`, uniformly distributed."""
    pareto: Annotated[float, Field(gt=0, le=10)] | None = None
    """The shape of a Pareto distribution with the minimum `delay`: the smaller, the longer its tail."""
    status: Annotated[int, Field(ge=200, le=599)] = 503
    """For abort: the status of the response."""
    rate: Size = size("16KiB")
    """For bandwidth: bytes of a response body in a second."""
    after: Whole = 1024
    """For truncate: bytes of a response body that are passed on."""
    header: Token | None = None
    """For corrupt_header: the response header that is garbled."""
    healthy: bool = False
    """For health_lie: the result of active health checks."""


class ChaosLimits(Section):
    blast_radius: Percent = percent("5%")
    """The largest share of an upstream's backends that a fault may affect; one is always allowed."""
    min_healthy: Percent = percent("70%")
    """The least share of an upstream's backends that must stay healthy; the last one always must."""
    traffic: Percent = percent("10%")
    """The largest share of the requests for a fault that does not concern backends."""
    duration: Duration = lasting("60s")
    """The longest duration of an experiment, which ends by itself even if the supervisor is dead."""
    concurrent: Count = 1
    """Concurrent experiments."""
    cool_down: GraceDuration = Field(default=600.0, json_schema_extra={"default": "10m"})
    """Time between the end of an experiment and the start of the next."""
    error_rate: Percent = percent("1%")
    """The steady state: with a larger share of errors, clients that left and requests without an answer, an experiment
    is stopped."""
    latency: Annotated[float, Field(gt=1, le=100)] = 2.0
    """The steady state: an experiment is stopped if the 99th percentile exceeds its earlier value by this factor."""
    within: Duration = lasting("10s")
    """The time for which the steady state must be lost; a shorter experiment is evaluated at its end."""


class ChaosMonkey(Section):
    probability: Percent = percent("10%")
    """The probability of an action after each interval."""
    interval: Duration = lasting("1h")
    """Time between two random draws."""
    days: List[Day] = ("mon", "tue", "wed", "thu", "fri")
    """The days on which it is active."""
    from_hour: Annotated[int, Field(ge=0, le=23)] = 9
    """The first active hour of a day, by the clock of this machine."""
    to_hour: Annotated[int, Field(ge=1, le=24)] = 15
    """The hour from which on it is inactive."""
    victims: Annotated[List[Literal["backend", "worker"]], Field(min_length=1)] = ("backend", "worker")
    """The kinds of victims: a backend refuses connections for a time, a worker is killed."""
    leashed: bool = True
    """Whether it only logs its actions (dry run)."""
    seed: Whole | None = None
    """The seed of its random draws."""


class ChaosSection(Section):
    enabled: bool = False
    """Whether experiments are allowed."""
    dry_run: bool = True
    """Whether experiments are dry runs by default; a command may override it."""
    environment: str = ""
    """The name of this environment."""
    environments: List[Text] = ("development", "test", "staging")
    """The environments in which experiments may run."""
    i_understand: bool = False
    """Disables two safeguards: the list of environments, and the mandatory dry run first."""
    opt_out: List[Text] = ()
    """Excluded from experiments: upstreams (app), backends (app/10.0.0.1:80); * matches any text."""
    audit: File | None = None
    """The audit log, one JSON object per line; required if chaos is enabled."""
    limits: ChaosLimits = Field(default_factory=ChaosLimits)
    """The safeguards of experiments."""
    rules: List[ChaosRule] = ()
    """Experiments, started by name."""
    monkey: ChaosMonkey | None = None
    """A Chaos Monkey that picks random victims; null for none."""


ABOUT = "Fault injection: experiments, and their safeguards."
FIELD = (ChaosSection, {"default_factory": ChaosSection})


def experiment_of(rule: ChaosRule, longest: float) -> Experiment:
    """The experiment of a rule; `longest` is its default duration in seconds."""
    from ...features.chaos.experiment import Experiment
    from ...features.chaos.rules import STAGES_OF

    match = rule.match
    return Experiment(
        name=rule.name,
        fault=rule.fault,
        stage=rule.stage or STAGES_OF.get(rule.fault, ("",))[0],
        share=rule.percentage,
        duration=rule.duration or longest,
        routes=match.routes,
        upstreams=match.upstreams,
        backends=tuple(map(str, match.backends)),
        methods=match.methods,
        prefix=match.prefix or "",
        headers=tuple(match.headers.items()),
        delay=rule.delay,
        jitter=rule.jitter,
        pareto=rule.pareto or 0.0,
        status=rule.status,
        rate=rule.rate,
        after=rule.after,
        header=rule.header or "",
        healthy=rule.healthy,
    )


def rules(_: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    path, chaos = ("chaos",), mapping(parent.get("chaos"))
    if chaos.get("enabled") is True and chaos.get("audit") is None:
        yield Finding(path, "needs audit where it is enabled: a file that experiments are written down in")
    monkey = mapping(chaos.get("monkey"))
    first, last = monkey.get("from_hour", 9), monkey.get("to_hour", 15)
    if isinstance(first, int) and isinstance(last, int) and first >= last:
        yield Finding((*path, "monkey"), f"from_hour has to be before to_hour: {first} is not before {last}")
    seen: dict[str, str] = {}
    for where, entry in entries((*path, "rules"), chaos.get("rules")):
        rule = mapping(entry)
        name = rule.get("name")
        if isinstance(name, str) and name in seen:
            yield Finding((*where, "name"), f"{quoted(name)} is given twice; the first is {seen[name]}")
        if isinstance(name, str):
            seen.setdefault(name, dotted(where))
        yield from _rule(where, rule, document)


def _rule(path: FindingPath, rule: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    from ...features.chaos.experiment import OFF_PATH, Experiment, malformed
    from ...features.chaos.rules import STAGES_OF

    fault, stage, header = rule.get("fault"), rule.get("stage"), rule.get("header") or ""
    match = mapping(rule.get("match"))
    for index, name in enumerate(match.get("upstreams") or ()):
        yield from no_upstream((*path, "match", "upstreams", index), name, document)
    known = fault in OFF_PATH or fault in STAGES_OF
    if not known or not isinstance(header, str) or not (stage is None or stage in STAGES_OF["delay"]):
        return  # reported already
    found = stage or STAGES_OF.get(str(fault), ("",))[0]
    backends = ("some",) if match.get("backends") else ()
    for message in malformed(Experiment("", str(fault), found, backends=backends, header=header)):
        yield Finding(path, message)
