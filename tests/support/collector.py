"""A collector of traces: takes OTLP over HTTP, decodes it, and answers as a script says.

    async with Collector() as collector:
        ... tracing: {endpoint: collector.url} ...
        await collector.until_spans(2)

Invariant: what it decodes is what came over the wire, by OpenTelemetry's own protobuf classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from .origin import Origin, Script, request, response
from .path import until_true

SERVER, CLIENT = 2, 3
"""SpanKind of the protobuf."""
ERROR = 2
TAKEN: Script = [request(), response()]


@dataclass(frozen=True, slots=True)
class Span:
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    start: int
    end: int
    status: int
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[str]
    links: list[tuple[str, str]]


class Collector(Origin):
    """An origin that takes every batch, or does what the scripts say."""

    def __init__(self, *scripts: Script) -> None:
        super().__init__(*(scripts or (TAKEN,)), forever=not scripts)

    @property
    def url(self) -> str:
        return f"http://{self.address}/v1/traces"

    @property
    def spans(self) -> list[Span]:
        """All that came, in the order of arrival."""
        return [span for each in self.requests if each.body for span in decoded(each.body)]

    async def until_spans(self, count: int) -> list[Span]:
        await until_true(lambda: len(self.spans) >= count)
        assert len(self.spans) == count
        return self.spans


def decoded(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.trace_state,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    plain(span.attributes),
                    plain(resource.resource.attributes),
                    [event.name for event in span.events],
                    [(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
                )


def plain(attributes: Any) -> dict[str, Any]:
    found = {}
    for each in attributes:
        found[each.key] = getattr(each.value, each.value.WhichOneof("value"))
    return found
