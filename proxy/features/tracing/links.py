"""The links of tracing in the chains of a plan.

Law of this file: a route that is not traced is linked without them.
"""

from __future__ import annotations

from ...exchange import ResponseStage, Stage
from ...plan import LinkContext, RouteSpec
from ...stages.hedge import HedgedAttempt, HedgedSend
from .hedging import TracedHedge
from .stages import TraceReturn, TraceSend
from .trace import Rules


def rules_of(spec: RouteSpec, context: LinkContext) -> Rules | None:
    """The rules of tracing, one object for all routes of a plan; None if tracing is off."""
    tracing = spec.features.get("tracing")
    return context.once(("tracing", tracing), lambda: Rules(tracing)) if tracing is not None else None


def link_trace(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """Before send."""
    rules = rules_of(spec, context)
    return TraceSend(rules, following) if rules is not None and spec.group is not None else following


def link_trace_return(spec: RouteSpec, context: LinkContext, following: ResponseStage) -> ResponseStage:
    """First on the way back."""
    rules = rules_of(spec, context)
    return TraceReturn(rules, following) if rules is not None and spec.group is not None else following


def link_hedge(spec: RouteSpec, context: LinkContext, following: Stage) -> Stage:
    """Hedging; on a traced route each second attempt has a span."""
    if spec.group is None or spec.group.retry.hedge is None:
        return following
    attempt = HedgedAttempt if "tracing" not in spec.features else TracedHedge
    return HedgedSend(context.runtime.group(spec.upstream), following, attempt)
