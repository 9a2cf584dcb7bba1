"""Faults of the active rules, linked where they strike.

Law of this file: where no rule is about a route and stage, nothing is linked.
"""

from __future__ import annotations

from collections.abc import Callable

from ...exchange import ResponseStage, Stage
from ...plan import LinkContext, RouteSpec
from .injector import Injector
from .returning import ChaosReturn
from .rules import ENDING
from .stages import ChaosStage

ON_EVERY_ROUTE = frozenset(("accept", "route"))
"""The stages that a route has which leads to no upstream."""


def faults_before(*stages: str) -> Callable[[RouteSpec, LinkContext, Stage], Stage]:
    """The link of the faults before stages that begin at the same place, in their order."""

    def link(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
        injector: Injector = context.injector
        concerned = injector.concerning(spec.name, spec.upstream)
        own = [each for each in stages if spec.group is not None or each in ON_EVERY_ROUTE]
        lives = [live for stage in own for live in concerned if live.rule.stage == stage]
        return ChaosStage(following, lives, injector.held) if lives else following

    return link


def faults_on_return(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """The faults of the way back. A connection that was lost over a delay before `send` is noticed here, too."""
    injector: Injector = context.injector
    concerned = injector.concerning(spec.name, spec.upstream)
    if not concerned or spec.group is None:
        return following
    lives = [live for live in concerned if live.rule.stage == "relay" or live.rule.stage in ENDING]
    return ChaosReturn(following, lives, injector.held)
