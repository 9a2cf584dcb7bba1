"""The links of the active rules' faults.

Law of this file: without a rule for a route and stage nothing is linked.
"""

from __future__ import annotations

from collections.abc import Callable

from ...exchange import ResponseStage, Stage
from ...plan import LinkContext, RouteSpec
from .injector import Injector
from .response_faults import ChaosReturn
from .rules import ENDING
from .stages import ChaosStage

ON_EVERY_ROUTE = frozenset(("accept", "route"))
"""The stages of a route without an upstream."""


def faults_before(*stages: str) -> Callable[[RouteSpec, LinkContext, Stage], Stage]:
    """The link of the faults before these stages, which begin at the same place, in this order."""

    def link(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
        injector: Injector = context.injector
        concerned = injector.concerning(spec.name, spec.upstream)
        own = [each for each in stages if spec.group is not None or each in ON_EVERY_ROUTE]
        rules = [active for stage in own for active in concerned if active.rule.stage == stage]
        return ChaosStage(following, rules, injector.held) if rules else following

    return link


def faults_on_return(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """The link of the faults on the way back. A connection lost during a delay before `send` is handled there too."""
    injector: Injector = context.injector
    concerned = injector.concerning(spec.name, spec.upstream)
    if not concerned or spec.group is None:
        return following
    rules = [active for active in concerned if active.rule.stage == "relay" or active.rule.stage in ENDING]
    return ChaosReturn(following, rules, injector.held)
