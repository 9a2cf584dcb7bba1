"""How backends tell of their load.

Law of this file: what is not configured is off, but for an algorithm that goes by reports: it gets those in headers.
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
    """How it is asked."""
    headers: Mapping[Token, HeaderValue] = Field(default_factory=dict)
    """Headers of the request."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """The port that is asked, if it is another than that of the backend."""
    interval: Duration = duration("1s")
    """Time between two polls of a backend."""
    timeout: Duration = duration("500ms")
    """What takes longer says nothing."""


class ProbeSection(Section):
    path: Path = "/load"
    """What answers with a report."""
    timeout: Duration = duration("50ms")
    """What is answered later says nothing."""
    per_backend: Count = 2
    """Probes of each worker at one backend at a time."""
    most: Count = 256
    """Probes of each worker at a time, at all backends of the upstream."""


class LoadReportsSection(Section):
    headers: List[ReportHeader] = ("endpoint-load-metrics", "endpoint-load-metrics-bin", "server-timing")
    """The response headers that are read."""
    strip: bool = True
    """Whether they are taken out of what clients get."""
    max_age: Duration = duration("10s")
    """An older report is not believed."""
    poll: PollSection | None = None
    """A load endpoint that is asked at intervals, once per machine; null for none."""
    probe: ProbeSection | None = None
    """A load endpoint that algorithms such as prequal ask when they want to know; null for none."""


ABOUT = "How backends tell of their load; null for not at all, or in headers if the algorithm goes by it."


def to_spec(section: LoadReportsSection, site: Site) -> ReportSpec:
    from ...upstream.load.sources import ReportSpec

    headers = tuple(name.encode() for name in section.headers)
    return ReportSpec(headers, section.strip, section.max_age, compile_poll(section.poll), compile_probe(section.probe))


def absent(site: Site) -> ReportSpec | None:
    """That of the defaults, if the algorithm goes by reports."""
    from ...balancing.compose import wants_reports
    from ...balancing.user_code import call_guarded, user_algorithms

    balance: BalanceSpec = site.specs["balance"]
    try:
        wanted = call_guarded(user_algorithms(balance), "__init__", wants_reports, balance)
    except ValueError:  # an algorithm that cannot be used: said where it is tried out
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
