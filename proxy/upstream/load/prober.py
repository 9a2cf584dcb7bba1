"""Probes: requests for a load report, over pooled connections, on demand of a balancing algorithm.

Law of this file: a probe is no client's request. It appears in no request counter and no health judgement, never takes
a connection that a request waits for, and its only result is a load report to the algorithms (`reported`). At most
`per_backend` probes are in flight at a backend and `most` in all; further ones are not sent.
"""

from __future__ import annotations

from time import monotonic
from typing import Any, NamedTuple

from ...errors import Reason
from ...http1.codec import X_REQUEST_ID, ResponseHead, mask_of
from ...http1.framing import Trailers
from ...http1.rendering import request_head
from ...metrics import U_PROBES, U_PROBES_ANSWERED
from ..backend import Backend
from ..ports import OutgoingRequest, Requester, UpstreamStream
from .orca import SIZE_MAX, parse_binary, parse_body, parse_header

GIVE_UP = 5.0
"""Seconds after which the connection of a probe is closed. A response counts only within the time-out of the probe, but
closing connections then would cost a busy backend more than the probe."""


FIELDS = (("User-Agent", "qantara-probe"), ("Accept", "application/json, text/plain"))


class ProbeSpec(NamedTuple):
    """The configuration of probes."""

    path: str = "/load"
    timeout: float = 0.05
    """Seconds; later responses are ignored."""
    per_backend: int = 2
    """Probes of this worker in flight at one backend."""
    most: int = 256
    """Probes of this worker in flight at all backends of the upstream."""


class Prober:
    """Sends probes to the backends of one upstream. Call it with a backend."""

    def __init__(self, group: Any, spec: ProbeSpec) -> None:
        self.group = group
        self.spec = spec
        self.out: dict[Backend, int] = {}
        """Probes in flight per backend."""
        self.total = 0
        self.requests: dict[str, OutgoingRequest] = {}
        """The rendered request of each backend."""

    def __call__(self, backend: Backend) -> None:
        """Probe a backend, unless a bound is reached. Does not block."""
        pool, out = backend.pool, self.out.get(backend, 0)
        if self.total >= self.spec.most or out >= self.spec.per_backend or pool is None:
            return
        if pool.waiting or pool.retired:
            return
        now = monotonic()
        connection = pool.acquire(False, now)
        if connection is None and pool.size >= pool.max:
            return
        self.group.stats.count(U_PROBES)
        self.out[backend] = out + 1
        self.total += 1
        probe = Probe(self, backend, now)
        if connection is not None:
            probe.connected(connection)
        else:
            pool.wait(probe)

    def over(self, backend: Backend) -> None:
        """Note the end of a probe."""
        self.total -= 1
        self.out[backend] -= 1
        if not self.out[backend]:
            del self.out[backend]

    def request(self, backend: Backend) -> OutgoingRequest:
        """The request that is sent."""
        found = self.requests.get(backend.name)
        if found is None:
            host = "localhost" if backend.spec.path else backend.name
            found = OutgoingRequest(request_head("GET", self.spec.path, host, FIELDS))
            found.drop = mask_of(X_REQUEST_ID)
            self.requests[backend.name] = found
        return found


class Probe(Requester):
    """One probe: the receiver of its response."""

    def __init__(self, prober: Prober, backend: Backend, now: float) -> None:
        super().__init__()
        self.request_done = True
        self.decode_body = True
        self.response_head = self.response_idle = GIVE_UP
        self.prober: Prober | None = prober
        self.backend = backend
        self.deadline = now + prober.spec.timeout
        self.connection: UpstreamStream | None = None
        self.body = b""

    def connected(self, connection: UpstreamStream) -> None:
        prober = self.prober
        assert prober is not None
        self.connection = connection
        connection.send(self, prober.request(self.backend), None, monotonic() + GIVE_UP)

    def connect_failed(self, reason: Reason) -> None:
        self._over()

    def response(self, head: ResponseHead, body_end: int, complete: bool) -> None:
        prober = self.prober
        if prober is None:
            return
        binary, text = head.get(b"endpoint-load-metrics-bin"), head.get(b"endpoint-load-metrics")
        if head.status != 200 or monotonic() > self.deadline:
            self._over()
        elif binary is not None:
            self._tell(parse_binary(binary))
        elif text is not None:
            self._tell(parse_header(text))
        else:
            self.body = head.data[head.end : body_end]
            if complete:
                self.end(())

    def data(self, data: Any) -> None:
        if self.prober is not None:
            self.body += bytes(data)
            if len(self.body) > SIZE_MAX and self.connection is not None:
                self.connection.discard()
                self._over()

    def end(self, trailers: Trailers) -> None:
        if self.prober is not None:
            self._tell(parse_body(self.body) if monotonic() <= self.deadline else None)

    def failed(self, reason: Reason, silent: bool) -> None:
        self._over()

    def _tell(self, report: Any) -> None:
        prober = self.prober
        self._over()
        if report is not None and prober is not None:
            prober.group.stats.count(U_PROBES_ANSWERED)
            prober.group.reported(self.backend, report, monotonic())

    def _over(self) -> None:
        """End the probe once; the connection may still read the rest of its response."""
        prober, self.prober = self.prober, None
        if prober is not None:
            prober.over(self.backend)
