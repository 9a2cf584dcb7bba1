"""How backends tell of their load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from ..fields import Count, Duration, HeaderValue, List, Method, Path, Section, Token, duration

ReportHeader = Literal["endpoint-load-metrics", "endpoint-load-metrics-bin", "server-timing"]


class Poll(Section):
    path: Path = "/load"
    """What answers with a report."""
    method: Method = "GET"
    """How it is asked."""
    headers: Mapping[Token, HeaderValue] = Field(default_factory=dict)
    """Headers of the request."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port that is asked, if it is another than that of the backend."""
    interval: Duration = duration("1s")
    """Time between two polls of a backend."""
    timeout: Duration = duration("500ms")
    """What takes longer says nothing."""


class Probe(Section):
    path: Path = "/load"
    """What answers with a report."""
    timeout: Duration = duration("50ms")
    """What is answered later says nothing."""
    per_backend: Count = 2
    """Probes of each worker at one backend at a time."""
    most: Count = 256
    """Probes of each worker at a time, at all backends of the upstream."""


class LoadReports(Section):
    headers: List[ReportHeader] = ("endpoint-load-metrics", "endpoint-load-metrics-bin", "server-timing")
    """The response headers that are read."""
    strip: bool = True
    """Whether they are taken out of what clients get."""
    max_age: Duration = duration("10s")
    """An older report is not believed."""
    poll: Poll | None = None
    """A load endpoint that is asked at intervals, once per machine; null for none."""
    probe: Probe | None = None
    """A load endpoint that algorithms such as prequal ask when they want to know; null for none."""
