"""The victims of an experiment, and all objections to running it.

Law of this file: pure. All objections are found at once, each with a remedy; an experiment with an objection does not
run, not even dry. Random draws depend on the seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import NamedTuple

from ...configuration.sections.chaos import ChaosLimits, ChaosSection
from ...features.chaos.experiment import Experiment, malformed
from .contract import Member, UpstreamState

Target = tuple[str, str]
"""Upstream and address."""


class Targets(NamedTuple):
    """The victims. Both are empty for what is only about requests."""

    backends: tuple[Target, ...] = ()
    workers: tuple[int, ...] = ()


def draw(
    experiment: Experiment,
    settings: ChaosSection,
    upstreams: Mapping[str, UpstreamState],
    workers: Sequence[int],
    seed: int,
) -> Targets:
    """The backends that the experiment names, or as many as it may have; or a worker."""
    dice = Random(seed)
    if experiment.fault == "worker_kill":
        return Targets(workers=(dice.choice(sorted(workers)),) if workers else ())
    if not experiment.at_backend:
        return Targets()
    found: list[Target] = []
    for name in sorted(upstreams):
        if experiment.upstreams and name not in experiment.upstreams:
            continue
        addresses = [member.address for member in upstreams[name].members]
        if experiment.backends:
            found += [(name, address) for address in addresses if address in experiment.backends]
        else:
            free = sorted(address for address in addresses if not opted_out(name, address, settings.opt_out))
            found += [(name, address) for address in dice.sample(free, min(radius(settings, addresses), len(free)))]
    return Targets(tuple(found))


def radius(settings: ChaosSection, members: Collection[object]) -> int:
    """How many backends of an upstream may be hit: the blast radius, but always one."""
    return max(1, int(settings.limits.blast_radius * len(members)))


def opted_out(upstream: str, address: str, patterns: Sequence[str]) -> bool:
    """Whether a backend is among those that no experiment touches."""
    return any(fnmatchcase(upstream, each) or fnmatchcase(f"{upstream}/{address}", each) for each in patterns)


def objections(
    experiment: Experiment,
    settings: ChaosSection,
    upstreams: Mapping[str, UpstreamState],
    workers: Sequence[int],
    targets: Targets,
) -> Iterator[str]:
    """What speaks against hitting these targets, whenever that is."""
    yield from malformed(experiment)
    yield from _environment(settings)
    for name in experiment.upstreams:
        if name not in upstreams:
            yield f"there is no upstream {name}"
        elif opted_out(name, "", settings.opt_out):
            yield f"upstream {name} has opted out (chaos.opt_out)"
    known = {address for _, address in targets.backends}
    for address in experiment.backends if experiment.at_backend else ():
        if address not in known:
            yield f"there is no backend {address}"
    longest = settings.limits.duration
    if experiment.duration > longest:
        yield f"it would go on for {experiment.duration:g} s, longer than chaos.limits.duration ({longest:g} s)"
    for name, upstream in upstreams.items():
        hit = {address for where, address in targets.backends if where == name}
        if hit:
            yield from _spared(name, hit, settings)
            if experiment.harms:
                yield from _left(name, hit, upstream.members, settings.limits)
        if upstream.panicking and (hit or not experiment.upstreams or name in experiment.upstreams):
            yield f"upstream {name} panics: there is an outage already"
    if experiment.fault == "worker_kill" and len(workers) < 2:
        yield "the last worker is never killed; run at least two"
    if experiment.at_backend and not targets.backends:
        yield "nothing is left to be hit: no backend matches, or all have opted out"


def _environment(settings: ChaosSection) -> Iterator[str]:
    if not settings.enabled:
        yield "chaos is not enabled; set chaos.enabled"
    if settings.environment not in settings.environments and not settings.i_understand:
        named = f"environment {settings.environment!r}" if settings.environment else "an environment without a name"
        yield f"{named} is not among chaos.environments ({', '.join(settings.environments)})"


def _spared(name: str, hit: Collection[str], settings: ChaosSection) -> Iterator[str]:
    for address in sorted(hit):
        if opted_out(name, address, settings.opt_out):
            yield f"backend {name}/{address} has opted out (chaos.opt_out)"


def _left(name: str, hit: Collection[str], members: Sequence[Member], limits: ChaosLimits) -> Iterator[str]:
    """Whether enough of an upstream stays as it is."""
    most = max(1, int(limits.blast_radius * len(members)))
    if len(hit) > most:
        share = f"{limits.blast_radius:.3g}"
        yield f"{len(hit)} backends of {name} would be hit, {most} may be (chaos.limits.blast_radius is {share})"
    left = sum(member.healthy for member in members if member.address not in hit)
    needed = max(1, math.ceil(limits.min_healthy * len(members) - 1e-9))
    if left < needed:
        why = "the last healthy one is never hit" if left == 0 else f"{needed} have to be (chaos.limits.min_healthy)"
        yield f"{left} of {len(members)} backends of {name} would be healthy: {why}"
