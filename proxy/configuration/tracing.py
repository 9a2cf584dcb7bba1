"""The section `tracing`, for the path, and what is linked where requests are traced.

Law of this file: without the section nothing here is linked.
"""

from __future__ import annotations

from importlib.util import find_spec

from ..plan import TraceSpec
from .schema import Config
from .tracing_rules import OWN

PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def compile_tracing(config: Config) -> TraceSpec | None:
    """Raises ValueError if the packages that send traces are not installed."""
    wanted = config.tracing
    if wanted is None:
        return None
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


def removed(names: tuple[str, ...], spec: TraceSpec | None) -> tuple[str, ...]:
    """Request headers that are not passed on: what the client sent of a trace is read, and said anew."""
    return names if spec is None else (*names, *OWN)
