"""The load report of a backend.

Law of this file: numbers only, checked when they were parsed (orca.py); a missing value is NAN, never 0.

Terms are those of ORCA (Open Request Cost Aggregation): github.com/cncf/xds, xds/data/orca/v3/orca_load_report.proto.
"""

from __future__ import annotations

NAN = float("nan")


class LoadReport:
    """One report. Every number may be NAN: missing."""

    def __init__(
        self,
        cpu: float = NAN,
        memory: float = NAN,
        application: float = NAN,
        rps: float = NAN,
        eps: float = NAN,
        cost: float = NAN,
        in_flight: float = NAN,
        named: dict[str, float] | None = None,
        latency: float = NAN,
    ) -> None:
        self.cpu = cpu
        """`cpu_utilization`: 1.0 is all that it may use; may be more."""
        self.memory = memory
        """`mem_utilization`: 0 to 1."""
        self.application = application
        """`application_utilization`: by a measure of its own; 1.0 is full; may be more."""
        self.rps = rps
        """`rps_fractional`: requests per second that it serves, of all clients."""
        self.eps = eps
        """`eps`: errors per second."""
        self.cost = cost
        """CPU seconds that this request took (`request_cost.cpu`, or `cpu;dur=` of Server-Timing)."""
        self.in_flight = in_flight
        """Requests in flight at the backend, of all clients (`named_metrics.rif`)."""
        self.named = named
        """The other named metrics, utilizations and costs, by the names that they have in TEXT."""
        self.latency = latency
        """Seconds that it takes for a response just now, by its own clock (`named_metrics.latency`)."""
