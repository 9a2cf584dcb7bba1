"""The scoreboard in Prometheus' words.

Law of this file: names are `qantara_` and what is counted, with its unit; every sum is over all workers, and a counter
never goes back, not even when a worker dies. docs/metrics.md has the table of the names and what Envoy and HAProxy
call them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import monotonic_ns

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from ... import __version__
from ...features.tracing.trace import WHY
from ...metrics import (
    L_REFUSED,
    L_REMOTE_FAILED,
    L_TAKEN,
    L_WOULD_REFUSE,
    REASON_CELLS,
    U_ACTIVE,
    U_BALANCER_FAILED,
    U_BALANCER_SLOW,
    U_BREAKER_OPENED,
    U_BREAKER_REFUSED,
    U_CEILING,
    U_CONNECT,
    U_FINISH,
    U_HEDGES,
    U_HEDGES_REFUSED,
    U_HEDGES_WON,
    U_OPEN_UNTIL,
    U_PANICKED,
    U_PICK,
    U_PROBES,
    U_PROBES_ANSWERED,
    U_QUEUE_EXPIRED,
    U_QUEUE_LENGTH,
    U_QUEUE_REFUSED,
    U_RELAY,
    U_REPORTS,
    U_REPORTS_REFUSED,
    U_REPORTS_STALE,
    U_REQUESTS,
    U_RETRIES,
    U_RETRIES_REFUSED,
    U_SEND,
    U_STATUSES,
    Histogram,
)
from ...scoreboard import (
    BEAT,
    C_BROKEN_OFF,
    C_BYTES_IN,
    C_BYTES_OUT,
    C_CONNECTIONS,
    C_CONNECTIONS_OPEN,
    C_IN_FLIGHT,
    C_LINES_DROPPED,
    C_STATUSES,
    C_TRACES_DROPPED,
    C_TRACES_EXPORTED,
    C_TRACES_FAILED,
    C_TRACES_KEPT,
    limit_key,
)
from .contract import Control
from .views import COUNTED, backend_view, ejection, latest, total, upstream_histogram, upstream_total

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets that are shown, in seconds."""
GAUGES = ("in_flight", "connections")
VERDICTS = {"taken": L_TAKEN, "refused": L_REFUSED, "dry_run": L_WOULD_REFUSE, "store_failed": L_REMOTE_FAILED}
STAGES = {"pick": U_PICK, "connect": U_CONNECT, "send": U_SEND, "relay": U_RELAY, "finish": U_FINISH}


def expose(control: Control) -> bytes:
    """All metrics in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Exposition(control))
    return generate_latest(registry)


class Exposition(Collector):
    """One look at the scoreboard."""

    def __init__(self, control: Control) -> None:
        self.control = control

    def collect(self) -> Iterable[Family]:
        yield from self._process()
        yield from self._clients()
        yield from self._traces()
        yield from self._rate_limits()
        yield from self._upstreams()
        yield from self._left_out()
        yield from self._backends()

    def _process(self) -> Iterator[Family]:
        control = self.control
        info = GaugeMetricFamily("qantara_build_info", "Version", labels=["version"])
        info.add_metric([__version__], 1)
        yield info
        reload = control.last_reload
        yield GaugeMetricFamily(
            "qantara_config_last_reload_success", "Whether the last reload was taken up", value=float(reload.ok)
        )
        yield GaugeMetricFamily(
            "qantara_config_last_reload_timestamp_seconds", "When the configuration was last loaded", value=reload.at
        )
        yield GaugeMetricFamily("qantara_ready", "Whether requests should be sent here", value=float(control.ready()))
        up = GaugeMetricFamily("qantara_worker_up", "Whether a worker serves", labels=["worker"])
        restarts = CounterMetricFamily("qantara_worker_restarts", "Workers that have died", labels=["worker"])
        silent = GaugeMetricFamily(
            "qantara_worker_silent_seconds", "Since a worker has given a sign of life", labels=["worker"]
        )
        for status in control.worker_status():
            label = [str(status.slot)]
            up.add_metric(label, float(status.state == "serving"))
            restarts.add_metric(label, status.restarts)
            beat = control.board.slot_head(status.slot)[BEAT]
            silent.add_metric(label, (monotonic_ns() - beat) / 1e9)
        yield from (up, restarts, silent)

    def _slots(self, cell: int) -> int:
        board = self.control.board
        return sum(int(board.slot_head(slot)[cell]) for slot in range(1, board.slots))

    def _clients(self) -> Iterator[Family]:
        yield CounterMetricFamily("qantara_connections", "Client connections", value=self._slots(C_CONNECTIONS))
        yield GaugeMetricFamily("qantara_connections_open", "Open now", value=self._slots(C_CONNECTIONS_OPEN))
        yield GaugeMetricFamily("qantara_requests_in_flight", "In flight now", value=self._slots(C_IN_FLIGHT))
        yield CounterMetricFamily("qantara_received_bytes", "Request bodies", value=self._slots(C_BYTES_IN))
        yield CounterMetricFamily("qantara_sent_bytes", "Response bodies", value=self._slots(C_BYTES_OUT))
        requests = CounterMetricFamily("qantara_requests", "Requests that are over", labels=["code"])
        for hundred in range(1, 6):
            requests.add_metric([f"{hundred}xx"], self._slots(C_STATUSES + hundred))
        yield requests
        reasons = CounterMetricFamily(
            "qantara_reasons", "Answers of the proxy's own, and requests given up", labels=["stage", "reason"]
        )
        for name, cell in REASON_CELLS.items():
            reasons.add_metric([name.partition(".")[0], name], self._slots(cell))
        yield reasons
        broken = self._slots(C_BROKEN_OFF)
        yield CounterMetricFamily("qantara_responses_broken_off", "Responses that are not complete", value=broken)
        dropped = self._slots(C_LINES_DROPPED)
        yield CounterMetricFamily("qantara_access_log_lines_dropped", "Lines that are not written", value=dropped)

    def _traces(self) -> Iterator[Family]:
        kept = CounterMetricFamily("qantara_traces_kept", "Requests whose trace is kept", labels=["why"])
        for number, why in enumerate(WHY):
            kept.add_metric([why], self._slots(C_TRACES_KEPT + number))
        yield kept
        told = {
            "dropped": (C_TRACES_DROPPED, "Those that found the buffer full"),
            "exported": (C_TRACES_EXPORTED, "Those that the collector has taken"),
            "failed": (C_TRACES_FAILED, "Those that it has not taken"),
        }
        for what, (cell, words) in told.items():
            yield CounterMetricFamily(f"qantara_traces_{what}", words, value=self._slots(cell))

    def _rate_limits(self) -> Iterator[Family]:
        family = CounterMetricFamily(
            "qantara_rate_limit_requests", "Requests that a rate limit has seen", labels=["limit", "verdict"]
        )
        for name in self.control.config.rate_limits:
            for verdict, cell in VERDICTS.items():
                family.add_metric([name, verdict], upstream_total(self.control.board, limit_key(name), cell))
        yield family

    def _upstreams(self) -> Iterator[Family]:
        board, names = self.control.board, list(self.control.specs())
        counters = {
            "requests": (U_REQUESTS, "Requests that came to pick"),
            "retries": (U_RETRIES, "Further tries"),
            "retries_refused": (U_RETRIES_REFUSED, "Further tries that the budget refused"),
            "queue_refused": (U_QUEUE_REFUSED, "Requests that found the queue full"),
            "queue_expired": (U_QUEUE_EXPIRED, "Requests that waited too long in the queue"),
            "breaker_opened": (U_BREAKER_OPENED, "How often the circuit breaker has opened"),
            "breaker_refused": (U_BREAKER_REFUSED, "Requests that it has refused"),
            "hedges": (U_HEDGES, "Second tries beside a first one that was late"),
            "hedges_won": (U_HEDGES_WON, "Those that were answered first"),
            "hedges_refused": (U_HEDGES_REFUSED, "Those that the budget refused"),
            "load_reports": (U_REPORTS, "Load reports that were taken in"),
            "load_reports_refused": (U_REPORTS_REFUSED, "Load reports that could not be read"),
            "load_reports_stale": (U_REPORTS_STALE, "Load reports that grew too old before another one came"),
            "probes": (U_PROBES, "Probes that were sent"),
            "probes_answered": (U_PROBES_ANSWERED, "Probes that were answered in time, with a report"),
            "panicked": (U_PANICKED, "Requests that were picked for without regard to health"),
            "balancer_failed": (U_BALANCER_FAILED, "How often a balancing algorithm has raised, or was too slow"),
            "balancer_slow": (U_BALANCER_SLOW, "How often of these it was too slow"),
        }
        for what, (cell, told) in counters.items():
            family = CounterMetricFamily(f"qantara_upstream_{what}", told, labels=["upstream"])
            for name in names:
                family.add_metric([name], upstream_total(board, name, cell))
            yield family
        gauges = {"active": U_ACTIVE, "queued": U_QUEUE_LENGTH, "limit": U_CEILING}
        for what, cell in gauges.items():
            gauge = GaugeMetricFamily(f"qantara_upstream_requests_{what}", "Requests now", labels=["upstream"])
            for name in names:
                gauge.add_metric([name], upstream_total(board, name, cell))
            yield gauge
        responses = CounterMetricFamily("qantara_upstream_responses", "By status", labels=["upstream", "code"])
        for name in names:
            for hundred in range(1, 6):
                responses.add_metric([name, f"{hundred}xx"], upstream_total(board, name, U_STATUSES + hundred))
        yield responses
        seconds = HistogramMetricFamily("qantara_upstream_seconds", "Durations by stage", labels=["upstream", "stage"])
        for name in names:
            for stage, start in STAGES.items():
                buckets, total_seconds = bucketed(upstream_histogram(board, name, start))
                seconds.add_metric([name, stage], buckets=buckets, sum_value=total_seconds)
        yield seconds

    def _left_out(self) -> Iterator[Family]:
        """What gets no requests just now because too many have failed."""
        control, now_ns = self.control, monotonic_ns()
        breakers = GaugeMetricFamily(
            "qantara_upstream_breaker_open", "Whether the circuit breaker refuses requests", labels=["upstream"]
        )
        ejected = GaugeMetricFamily(
            "qantara_upstream_ejections_active", "Backends that are ejected now", labels=["upstream"]
        )
        for name, spec in control.specs().items():
            breakers.add_metric([name], float(latest(control.board, name, U_OPEN_UNTIL) > now_ns))
            rows = (control.board.backend_rows(name, backend.address) for backend in spec.backends)
            ejected.add_metric([name], sum(ejection(each, now_ns) is not None for each in rows))
        yield from (breakers, ejected)

    def _backends(self) -> Iterator[Family]:
        control, labels = self.control, ["upstream", "backend"]
        up = GaugeMetricFamily("qantara_backend_up", "Whether it may be picked", labels=labels)
        weight = GaugeMetricFamily("qantara_backend_weight", "Its weight, slow start aside", labels=labels)
        counted: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for name in COUNTED:
            kind = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            counted[name] = kind(f"qantara_backend_{name}", "Over all workers", labels=labels)
        for upstream, spec in control.specs().items():
            for backend in spec.backends:
                label = [upstream, backend.address]
                view = backend_view(control, upstream, backend)
                up.add_metric(label, float(view["state"] == "ready"))
                weight.add_metric(label, view["weight"])
                rows = control.board.backend_rows(upstream, backend.address)
                for name, cell in COUNTED.items():
                    counted[name].add_metric(label, total(rows, cell))
        yield from (up, weight, *counted.values())


def bucketed(cells: list[int]) -> tuple[list[tuple[str, float]], float]:
    """Cumulative buckets at BOUNDS, and the sum in seconds (as if all lay at the upper bound of their cell)."""
    counts = [0] * (len(BOUNDS) + 1)
    seconds = 0.0
    for cell, count in enumerate(cells):
        if count:
            bound = Histogram.bound(cell)
            seconds += count * bound
            counts[next((n for n, most in enumerate(BOUNDS) if bound <= most), len(BOUNDS))] += count
    buckets: list[tuple[str, float]] = []
    below = 0
    for most, count in zip([*map(str, BOUNDS), "+Inf"], counts, strict=True):
        below += count
        buckets.append((most, float(below)))
    return buckets, seconds
