"""From what the configuration says of load reports to what the data path knows of them.

Law of this file: what is not configured is off, but for an algorithm that goes by reports: it gets those in headers.
"""

from __future__ import annotations

from ..balancing.compose import BalanceSpec, wants_reports
from ..exchange import ReturnStage
from ..features.load_reports.stages import ReportedRelay
from ..upstream.group import Group
from ..upstream.load.prober import ProbeSpec
from ..upstream.load.sources import PollSpec, ReportSpec
from .sections.load_reports import LoadReports, Poll, Probe
from .user_code import call_guarded, user_algorithms


def compile_reports(wanted: LoadReports | None, balance: BalanceSpec) -> ReportSpec | None:
    """How the backends of an upstream tell of their load; None if nobody listens."""
    if wanted is None and not _wants(balance):
        return None
    section = wanted or LoadReports()
    headers = tuple(name.encode() for name in section.headers)
    return ReportSpec(headers, section.strip, section.max_age, compile_poll(section.poll), compile_probe(section.probe))


def _wants(balance: BalanceSpec) -> bool:
    try:
        return call_guarded(user_algorithms(balance), "__init__", wants_reports, balance)
    except ValueError:  # an algorithm that cannot be used: said where it is tried out
        return False


def compile_poll(poll: Poll | None) -> PollSpec | None:
    if poll is None:
        return None
    return PollSpec(poll.path, poll.method, tuple(poll.headers.items()), poll.port or 0, poll.interval, poll.timeout)


def compile_probe(probe: Probe | None) -> ProbeSpec | None:
    return ProbeSpec(probe.path, probe.timeout, probe.per_backend, probe.most) if probe is not None else None


def listening(spec: ReportSpec | None, group: Group, relay: ReturnStage) -> ReturnStage:
    """The way back, with an ear for reports in headers if they are wanted."""
    return ReportedRelay(group, spec.headers, relay) if spec is not None and spec.headers else relay


def stripped(spec: ReportSpec | None) -> tuple[bytes, ...]:
    """The names of headers that clients do not get."""
    return spec.headers if spec is not None and spec.strip else ()
