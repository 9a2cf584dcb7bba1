"""Faults on purpose: which experiments there are, and what keeps them from becoming an outage."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from ...features.chaos.experiment import OFF_PATH, Experiment, malformed
from ...features.chaos.rules import STAGES_OF
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
from ..findings import Document, Finding, dotted, entries, mapping, no_upstream
from ..findings import Path as FindingPath
from ..values import quoted

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
    """Which requests; all conditions must hold, and what is not named matches everything."""

    routes: List[Text] = ()
    """Routes, by name."""
    upstreams: List[Text] = ()
    """Upstreams, by name."""
    backends: List[BackendAddress] = ()
    """Backends, by address. If none is named, a fault at a backend draws lots, as many as the blast radius allows."""
    methods: List[Method] = ()
    """Methods."""
    prefix: Path | None = None
    """How the path begins."""
    headers: Mapping[Token, HeaderValue] = Field(default_factory=dict)
    """Headers with their values; "*" stands for any value."""


class ChaosRule(Section):
    """One experiment: a fault, where, for whom and how long."""

    name: ChaosName
    """What it is started by, and what the audit log calls it."""
    fault: FaultName
    """What goes wrong."""
    stage: StageName | None = None
    """The stage before which it happens; each fault has one of its own if nothing is said."""
    percentage: Percent = percent("100%")
    """The share of the requests that match."""
    duration: Duration | None = None
    """How long it goes on; chaos.limits.duration if absent."""
    seed: Whole | None = None
    """What the dice are seeded with, to repeat a run; drawn and logged if absent."""
    start: bool = False
    """Whether it is started as soon as the configuration is taken up, rather than by an operator."""
    match: ChaosMatch = Field(default_factory=ChaosMatch)
    """Which requests."""
    delay: Duration = lasting("100ms")
    """For delay, connect_delay and slow_close: how long."""
    jitter: GraceDuration = Field(default=0.0, json_schema_extra={"default": "0s"})
    """Up to so much more or less."""
    pareto: Annotated[float, Field(gt=0, le=10)] | None = None
    """The shape of a Pareto distribution that begins at `delay`: the smaller, the longer its tail."""
    status: Annotated[int, Field(ge=200, le=599)] = 503
    """For abort: the status of the response."""
    rate: Size = size("16KiB")
    """For bandwidth: bytes of a response body in a second."""
    after: Whole = 1024
    """For truncate: bytes of a response body that still come."""
    header: Token | None = None
    """For corrupt_header: the response header whose value is garbled."""
    healthy: bool = False
    """For health_lie: what active health checks are made to say."""


class ChaosLimits(Section):
    blast_radius: Percent = percent("5%")
    """The share of the backends of an upstream that a fault may concern; one always may be."""
    min_healthy: Percent = percent("70%")
    """The share of the backends of an upstream that has to stay healthy; the last one always has to."""
    traffic: Percent = percent("10%")
    """The share of the requests that a fault which is not about a backend may strike."""
    duration: Duration = lasting("60s")
    """No experiment goes on for longer, whoever is still there to end it."""
    concurrent: Count = 1
    """Experiments at a time."""
    cool_down: GraceDuration = Field(default=600.0, json_schema_extra={"default": "10m"})
    """Time between the end of an experiment and the start of the next."""
    error_rate: Percent = percent("1%")
    """The steady state: with a larger share of errors, clients that left and requests without an answer, an experiment
    is stopped."""
    latency: Annotated[float, Field(gt=1, le=100)] = 2.0
    """The steady state: if the 99th percentile is more than so many times what it was, an experiment is stopped."""
    within: Duration = lasting("10s")
    """How long the steady state has to be lost; a shorter experiment is judged at its end."""


class ChaosMonkey(Section):
    probability: Percent = percent("10%")
    """How likely it does something when an interval is over."""
    interval: Duration = lasting("1h")
    """Time between two rolls of the dice."""
    days: List[Day] = ("mon", "tue", "wed", "thu", "fri")
    """When somebody is there to see it."""
    from_hour: Annotated[int, Field(ge=0, le=23)] = 9
    """The first hour of a day, by the clock of this machine."""
    to_hour: Annotated[int, Field(ge=1, le=24)] = 15
    """The hour before which it has gone home."""
    victims: Annotated[List[Literal["backend", "worker"]], Field(min_length=1)] = ("backend", "worker")
    """What it picks from: a backend refuses connections for a while, a worker is killed."""
    leashed: bool = True
    """Whether it only says what it would do."""
    seed: Whole | None = None
    """What its dice are seeded with."""


class ChaosSection(Section):
    enabled: bool = False
    """Whether experiments may be run at all."""
    dry_run: bool = True
    """Whether experiments only say what they would do, unless whoever starts one says otherwise."""
    environment: str = ""
    """What this environment is called."""
    environments: List[Text] = ("development", "test", "staging")
    """The environments in which experiments may run."""
    i_understand: bool = False
    """Lifts two safeguards: that the environment is one of these, and that a dry run comes first."""
    opt_out: List[Text] = ()
    """What no experiment touches: upstreams (app), backends (app/10.0.0.1:80); * stands for any text."""
    audit: File | None = None
    """The file that all of it is written down in, a JSON object a line; required where chaos is enabled."""
    limits: ChaosLimits = Field(default_factory=ChaosLimits)
    """What keeps an experiment from becoming an outage."""
    rules: List[ChaosRule] = ()
    """Experiments that may be started by name."""
    monkey: ChaosMonkey | None = None
    """A Chaos Monkey that picks a random victim now and then; null for none."""


ABOUT = "Faults on purpose: experiments that may be run, and what keeps them from becoming an outage."
FIELD = (ChaosSection, {"default_factory": ChaosSection})


def experiment_of(rule: ChaosRule, longest: float) -> Experiment:
    """The experiment that a configuration describes; `longest` is how long it goes on if it does not say."""
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


def rules(_: FindingPath, parent: Mapping[str, Any], document: Document) -> Iterator[Finding]:
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


def _rule(path: FindingPath, rule: Mapping[str, Any], document: Document) -> Iterator[Finding]:
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
