"""Tracing: the collector, trusted parents, and tail sampling."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ..fields import Duration, HeaderButHost, HeaderValue, Percent, Section, duration, percent
from ..findings import Finding, PlainData, mapping, routes_of
from ..findings import Path as FindingPath
from ..render import SECRET
from ..values import quoted

if TYPE_CHECKING:
    from ...plan import TraceSpec
    from ..site import Site

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
OWN = ("traceparent", "tracestate")
"""The headers of the trace context, written by the tracer alone."""


def check_endpoint(value: str) -> str:
    """The full URL of a collector: no path is appended."""
    wanted = "must be the URL that traces are sent to, such as http://127.0.0.1:4318/v1/traces"
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine or re.search(r"\s", value):
        raise ValueError(f"{wanted}; not {quoted(value)}")
    if "@" in parts.netloc:  # it would be shown wherever the endpoint is
        raise ValueError("must not hold a user or a password; write headers: {authorization: ...}")
    if parts.path in ("", "/"):
        raise ValueError(f"{wanted}: the path is missing")
    return value


class Keep(Section):
    """Tail sampling, at the end of a request: the first condition that holds keeps the trace."""

    errors: bool = True
    """Keep requests with a status of 500 and above, and those refused or aborted by the proxy."""
    slow: Duration | None = duration("1s")
    """Keep requests with at least this duration; null for none."""
    sampled: bool = True
    """Keep requests with the sampled flag in a trusted traceparent."""
    share: Percent = percent("1%")
    """Keep this share of all traces, selected by the trace id."""


class TracingSection(Section):
    endpoint: Annotated[str, AfterValidator(check_endpoint)] = "http://127.0.0.1:4318/v1/traces"
    """The collector's URL for traces, by OTLP over HTTP (protobuf)."""
    headers: Mapping[HeaderButHost, Annotated[HeaderValue, SECRET]] = Field(default_factory=dict)
    """Headers for the collector, such as authorization. Their values are not shown anywhere."""
    service: Annotated[str, Field(min_length=1)] = "qantara"
    """service.name of the resource."""
    attributes: Mapping[Annotated[str, Field(min_length=1)], str] = Field(default_factory=dict)
    """Further attributes of the resource, such as deployment.environment.name."""
    believe: Literal["nobody", "trusted", "everybody"] = "trusted"
    """Trusted parents: a traceparent is continued of no peer, of trusted_proxies, or of every peer. Otherwise a new
    trace begins."""
    sampled_flag: Literal["share", "always"] = "share"
    """The sampled flag towards backends: set for traces within the share, and for those with the flag of a trusted
    parent; or always set."""
    keep: Keep = Field(default_factory=Keep)
    """Which traces are sent."""
    buffer: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """The export queue of each worker, in requests; further ones are dropped and counted."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 32
    """Requests per export."""
    interval: Duration = duration("1s")
    """The longest time between two exports."""
    timeout: Duration = duration("5s")
    """The time-out of an export, retries included, after which the batch is dropped and counted."""


ABOUT = "OpenTelemetry traces: the collector, and tail sampling; null for none."
EFFECTS = (("*", "holds for requests that end after the reload; what waits is sent as before"),)


def rules(path: FindingPath, parent: Mapping[str, Any], document: PlainData) -> Iterator[Finding]:
    """Routes that also write a header of the trace context: two lines of it are invalid."""
    if not isinstance(parent.get("tracing"), dict):
        return
    for where, route in routes_of(document):
        headers = mapping(route.get("request_headers"))
        for change in ("set", "append"):
            for name in mapping(headers.get(change)):
                if isinstance(name, str) and name.lower() in OWN:
                    words = "is written by tracing; remove it here"
                    yield Finding((*where, "request_headers", change, name), words, at_key=True)


def to_spec(wanted: TracingSection, site: Site) -> TraceSpec:
    """Raises ValueError if the packages of the exporter are not installed."""
    from ...plan import TraceSpec

    if not all(map(installed, PACKAGES)):
        raise ValueError("needs the packages of OpenTelemetry: pip install qantara[otel]")
    keep = wanted.keep
    return TraceSpec(
        endpoint=wanted.endpoint,
        headers=tuple(wanted.headers.items()),
        service=wanted.service,
        attributes=tuple(wanted.attributes.items()),
        believe=wanted.believe,
        sampled_flag=wanted.sampled_flag,
        errors=keep.errors,
        slow=keep.slow or 0.0,
        sampled=keep.sampled,
        share=keep.share,
        buffer=wanted.buffer,
        batch=min(wanted.batch, wanted.buffer),
        interval=wanted.interval,
        timeout=wanted.timeout,
    )


def installed(package: str) -> bool:
    """Whether a package is installed, without importing it."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the one that it is in
        return False


def hides_request(spec: TraceSpec) -> tuple[str, ...]:
    """The client's trace context is replaced by the tracer's."""
    return OWN
