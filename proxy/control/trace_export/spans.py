"""From what is kept of a request to spans: one for the request (SERVER), one for each try at a backend (CLIENT).

Law of this file: names are those of OpenTelemetry's semantic conventions for HTTP; what they have no name for begins
with `qantara.`. No query string, no header but User-Agent, and no body is ever an attribute. It runs in the exporting
thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from ... import __version__
from ...errors import Reason
from ...features.tracing.recorder import Finished, is_error
from ...features.tracing.trace import Trace, Try
from ...plan import TraceSpec

METHODS = frozenset(b"GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY".split())
SCOPE = InstrumentationScope("qantara", __version__, "https://opentelemetry.io/schemas/1.37.0")
FAILED = Status(StatusCode.ERROR)
UNSET = Status(StatusCode.UNSET)

Attributes = dict[str, Any]


def resource_of(spec: TraceSpec) -> Resource:
    """The resource that sends the spans: OTEL_RESOURCE_ATTRIBUTES, then the configuration."""
    return Resource.create({**dict(spec.attributes), "service.name": spec.service})


def spans_of(done: Finished, resource: Resource, epoch: float) -> Iterator[ReadableSpan]:
    """The spans of a request. `epoch` is what to add to its times for the time of day."""
    trace = done.trace
    context = context_of(trace, trace.server_id, False)
    yield ReadableSpan(
        server_name(done),
        context,
        context_of(trace, trace.parent_id, True) if trace.parent_id else None,
        resource,
        server_attributes(done),
        events((("pick", done.picked),), epoch),
        links(done),
        SpanKind.SERVER,
        status=FAILED if done.status >= 500 or failed(done.reason) else UNSET,
        start_time=nanoseconds(done.started, epoch),
        end_time=nanoseconds(done.ended, epoch),
        instrumentation_scope=SCOPE,
    )
    for number, attempt in enumerate(trace.tries):
        yield ReadableSpan(
            method_name(done.method),
            context_of(trace, attempt.id, False),
            context,
            resource,
            client_attributes(done, attempt, number),
            events((("send", attempt.sent), ("relay", attempt.headed)), epoch),
            (),
            SpanKind.CLIENT,
            status=FAILED if attempt.status >= 400 or failed(attempt.reason) else UNSET,
            start_time=nanoseconds(attempt.picked or done.started, epoch),
            end_time=nanoseconds(attempt.ended or done.ended, epoch),
            instrumentation_scope=SCOPE,
        )


def failed(reason: Reason | None) -> bool:
    return reason is not None and is_error(reason)


def nanoseconds(at: float, epoch: float) -> int:
    return int((at + epoch) * 1e9)


def context_of(trace: Trace, span_id: bytes, remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if trace.announced else TraceFlags.DEFAULT)
    state = TraceState.from_header([trace.state.decode("ascii")]) if trace.state else None
    return SpanContext(int(trace.trace_id, 16), int(span_id, 16), remote, flags, state)


def links(done: Finished) -> tuple[Link, ...]:
    """What a client that is not believed claims to be part of: it can be found from here, and changes nothing."""
    claimed = done.link
    if claimed is None:
        return ()
    return (Link(SpanContext(int(claimed.trace_id, 16), int(claimed.span_id, 16), True)),)


def events(stages: tuple[tuple[str, float], ...], epoch: float) -> tuple[Event, ...]:
    """When a stage was entered, by its name."""
    return tuple(Event(name, timestamp=nanoseconds(at, epoch)) for name, at in stages if at)


# --- names --------------------------------------------------------------------------------------------


def method_name(method: bytes) -> str:
    return text(method) if method in METHODS else "HTTP"


def server_name(done: Finished) -> str:
    """Few different ones: the method and the route, never the path."""
    return f"{method_name(done.method)} {done.route}".rstrip()


def text(value: bytes) -> str:
    return value.decode("latin-1")


# --- attributes ---------------------------------------------------------------------------------------


def common_attributes(done: Finished) -> Attributes:
    known = done.method in METHODS
    found: Attributes = {"http.request.method": text(done.method) if known else "_OTHER"}
    if done.method and not known:
        found["http.request.method_original"] = text(done.method)
    return found


def server_attributes(done: Finished) -> Attributes:
    found = common_attributes(done)
    host, port = host_and_port(text(done.host))
    found |= {
        "url.scheme": done.scheme,
        "url.path": text(done.path),
        "http.route": done.route,
        "server.address": host,
        "server.port": port,
        "client.address": done.client,
        "network.peer.address": done.peer,
        "network.protocol.version": done.version if done.method else "",
        "user_agent.original": text(done.user_agent),
        "http.request.body.size": done.bytes_in,
        "http.response.body.size": done.bytes_out,
        "qantara.upstream": done.upstream,
        "qantara.backend": done.backend,
        "qantara.tries": done.tries,
        "qantara.reason": done.reason.name if done.reason is not None else "",
        "qantara.request_id": text(done.request_id),
        "qantara.kept": done.why,
    }
    return filled(found) | outcome(done.status, done.reason, 500)


def client_attributes(done: Finished, attempt: Try, number: int) -> Attributes:
    found = common_attributes(done)
    spec = attempt.backend
    if spec.path:
        found |= {"server.address": spec.path, "network.transport": "unix"}
    else:
        host = f"[{spec.host}]" if ":" in spec.host else spec.host
        found |= {
            "server.address": spec.host,
            "server.port": spec.port,
            "url.full": f"http://{host}:{spec.port}{text(done.sent_path)}",
        }
    found |= {
        "http.request.resend_count": number,
        "qantara.backend": spec.address,
        "qantara.reason": attempt.reason.name if attempt.reason is not None else "",
    }
    found = filled(found) | outcome(attempt.status, attempt.reason, 400)
    if attempt.hedge:
        found["qantara.hedge"] = True
    if attempt.dropped:
        found["qantara.dropped"] = True
    return found


def outcome(status: int, reason: Reason | None, wrong_from: int) -> Attributes:
    """The status, and what went wrong, in one word."""
    found: Attributes = {"http.response.status_code": status} if status else {}
    if reason is not None and is_error(reason):
        found["error.type"] = reason.name
    elif status >= wrong_from:
        found["error.type"] = str(status)
    return found


def filled(attributes: Attributes) -> Attributes:
    """Without what is empty."""
    return {name: value for name, value in attributes.items() if value not in ("", 0, None)}


def host_and_port(value: str) -> tuple[str, int]:
    """The parts of Host; 0 without a port."""
    host, colon, port = value.rpartition(":")
    if colon and port.isdigit() and not host.endswith(":"):
        return host.strip("[]"), int(port)
    return value.strip("[]"), 0
