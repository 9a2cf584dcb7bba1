"""Where traces go, which are kept, and whose are gone on with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ...plan import TraceSpec
from ..fields import Duration, HeaderButHost, HeaderValue, Percent, Section, duration, percent
from ..findings import Document, Finding, mapping, routes_of
from ..findings import Path as FindingPath
from ..render import SECRET
from ..values import quoted

if TYPE_CHECKING:
    from ..site import Site

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
OWN = ("traceparent", "tracestate")
"""The headers that are the tracer's."""


def check_endpoint(value: str) -> str:
    """The URL of a collector, whole, since nothing is added to it."""
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
    """When a request is over; whatever holds first."""

    errors: bool = True
    """Requests that ended with a status of 500 and above, or that the proxy refused or gave up."""
    slow: Duration | None = duration("1s")
    """Requests that took so long; null for however long."""
    sampled: bool = True
    """Those whose sender says in a traceparent that is believed that it records the trace."""
    share: Percent = percent("1%")
    """This share of all, decided by the trace id."""


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
    """Whose traceparent is gone on with: nobody's, that of trusted_proxies, everybody's. Others begin a new trace."""
    sampled_flag: Literal["share", "always"] = "share"
    """When backends are told that the trace is recorded: if it is within the share or its sender records it; always."""
    keep: Keep = Field(default_factory=Keep)
    """Which traces are sent."""
    buffer: Annotated[int, Field(ge=1, le=1_000_000)] = 4096
    """Requests of each worker that may wait to be sent; what comes then is dropped and counted."""
    batch: Annotated[int, Field(ge=1, le=4096)] = 32
    """Requests that are sent together."""
    interval: Duration = duration("1s")
    """They are sent at the latest after this time."""
    timeout: Duration = duration("5s")
    """The collector has this long to take a batch, further attempts included; then the batch is lost and counted."""


ABOUT = "OpenTelemetry traces: where they go and which are kept; null for none."
EFFECTS = (("*", "holds for requests that end after the reload; what waits is sent as before"),)


def rules(path: FindingPath, parent: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    """Where a route would write a header of the tracer's too: two of them are as good as none."""
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
    """Raises ValueError if the packages that send traces are not installed."""
    if not all(map(installed, PACKAGES)):
        raise ValueError("needs the packages of OpenTelemetry: pip install qantara[otel]")
    keep = wanted.keep
    return TraceSpec(
        wanted.endpoint,
        tuple(wanted.headers.items()),
        wanted.service,
        tuple(wanted.attributes.items()),
        wanted.believe,
        wanted.sampled_flag,
        keep.errors,
        keep.slow or 0.0,
        keep.sampled,
        keep.share,
        wanted.buffer,
        min(wanted.batch, wanted.buffer),
        wanted.interval,
        wanted.timeout,
    )


def installed(package: str) -> bool:
    """Whether a package is there, without importing it."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # not even the one that it is in
        return False


def hides_request(spec: TraceSpec) -> tuple[str, ...]:
    """What the client sent of a trace is read, and said anew."""
    return OWN
