"""Load reports of backends.

Law of this file: sources that are not configured are off; only with an algorithm that uses reports those in response
headers are on by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..fields import Count, Duration, HeaderValue, List, Method, Path, Section, Token, duration

if TYPE_CHECKING:
    from ...balancing.compose import BalanceSpec
    from ...upstream.load.prober import ProbeSpec
    from ...upstream.load.sources import PollSpec, ReportSpec
    from ..site import Site

ReportHeader = Literal["endpoint-load-metrics", "endpoint-load-metrics-bin", "server-timing"]


class PollSection(Section):
    path: Path = "/load"
    """What answers with a report."""
    method: Method = "GET"
    """The method of the request."""
    headers: Mapping[Token, HeaderValue] = Field(default_factory=dict)
    """Headers of the request."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port of the request, if it differs from that of the backend."""
    interval: Duration = duration("1s")
    """Time between two polls of a backend."""
    timeout: Duration = duration("500ms")
    """The time-out of a poll, after which it has no result."""


class ProbeSection(Section):
    path: Path = "/load"
    """What answers with a report."""
    timeout: Duration = duration("50ms")
    """The time-out of a probe; later responses are ignored."""
    per_backend: Count = 2
    """Concurrent probes of each worker at one backend."""
    most: Count = 256
    """Concurrent probes of each worker at all backends of the upstream."""


class LoadReportsSection(Section):
    headers: List[ReportHeader] = ("endpoint-load-metrics", "endpoint-load-metrics-bin", "server-timing")
    """The response headers with reports."""
    strip: bool = True
    """Whether these headers are removed from responses to clients."""
    max_age: Duration = duration("10s")
    """The age at which a report expires."""
    poll: PollSection | None = None
    """A load endpoint that is polled at intervals, once per machine; null for none."""
    probe: ProbeSection | None = None
    """A load endpoint for probes of algorithms such as prequal, on demand; null for none."""


ABOUT = "Load reports of backends; null for none, or for those in headers if the algorithm uses them."


def to_spec(section: LoadReportsSection, site: Site) -> ReportSpec:
    from ...upstream.load.sources import ReportSpec

    headers = tuple(name.encode() for name in section.headers)
    return ReportSpec(headers, section.strip, section.max_age, compile_poll(section.poll), compile_probe(section.probe))


def absent(site: Site) -> ReportSpec | None:
    """The defaults, if the algorithm uses reports."""
    from ...balancing.compose import wants_reports
    from ...balancing.user_code import call_guarded, user_algorithms

    balance: BalanceSpec = site.specs["balance"]
    try:
        wanted = call_guarded(user_algorithms(balance), "__init__", wants_reports, balance)
    except ValueError:  # an algorithm that cannot be used: reported in picking.py
        wanted = False
    return to_spec(LoadReportsSection(), site) if wanted else None


def hides_response(spec: ReportSpec) -> tuple[str, ...]:
    return tuple(name.decode() for name in spec.headers) if spec.strip else ()


def compile_poll(poll: PollSection | None) -> PollSpec | None:
    from ...upstream.load.sources import PollSpec

    if poll is None:
        return None
    return PollSpec(poll.path, poll.method, tuple(poll.headers.items()), poll.port or 0, poll.interval, poll.timeout)


def compile_probe(probe: ProbeSection | None) -> ProbeSpec | None:
    from ...upstream.load.prober import ProbeSpec

    return ProbeSpec(probe.path, probe.timeout, probe.per_backend, probe.most) if probe is not None else None
