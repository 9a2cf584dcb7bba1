"""`qantara explain`: the trace of a request.

Law of this file: it calls the code of the data path. Decisions at the end of a request are reported as conditions.
"""

from __future__ import annotations

from typing import Any

from ..configuration.render import show_duration, show_percent
from ..exchange import Exchange
from ..features.tracing.context import parent_of
from ..features.tracing.trace import Rules
from ..plan import TraceSpec


def explain_tracing(spec: TraceSpec, x: Exchange) -> dict[str, Any]:
    """As JSON: whether it goes on with a trace or begins one, why, what backends get, and when it is kept."""
    client = x.client
    assert client is not None
    rules = Rules(spec)
    trace = rules.begin(x)
    found: dict[str, Any] = {"trace_id": None, "parent_id": None, "why": _why(rules, x)}
    if trace.parent_id:
        found |= {"trace_id": trace.trace_id.decode(), "parent_id": trace.parent_id.decode()}
    found["sampled_flag"] = trace.announced if trace.parent_id or rules.always_flag else None
    found["kept"] = _kept(spec, trace.shared if trace.parent_id else None, trace.flagged)
    return found


def _why(rules: Rules, x: Exchange) -> str:
    client = x.client
    assert client is not None
    if not x.head.get_all(b"traceparent"):
        return "it has no traceparent"
    if parent_of(x.head) is None:
        return "its traceparent is malformed"
    if rules.believes(client.peer):
        return "its traceparent is believed"
    return "its client is not believed (tracing.believe, trusted_proxies)"


def _kept(spec: TraceSpec, shared: bool | None, flagged: bool) -> str:
    """`shared`: whether it is within the share, None while the id is not drawn."""
    if flagged and spec.sampled:
        return "since its sender records it"
    if shared and spec.share:
        return f"since its id is within the {show_percent(spec.share)}"
    conditions = ["it fails"] * spec.errors
    if spec.slow:
        conditions.append(f"it takes {show_duration(spec.slow)}")
    if shared is None and spec.share:
        conditions.append(f"its id is within {show_percent(spec.share)}")
    return "if " + ", or ".join(conditions) if conditions else "never"
