"""Probes against a scripted origin: what is asked, what is told, how many there are, and that nothing else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.metrics import U_PROBES, U_PROBES_ANSWERED, U_REPORTS
from proxy.scoreboard import FAILURES, REQUESTS
from proxy.upstream.backend import Backend
from proxy.upstream.group import Group
from proxy.upstream.load.prober import Prober
from tests.balancing.listening import Listening
from tests.support.origin import Origin, Script, close, never, request, response, wait
from tests.support.path import GET, Path, path, until_true
from tests.support.running import running, unwatched

ALGORITHM = "balance: 'tests.balancing.listening:Listening'"
JSON = b'{"cpu_utilization": 0.5, "named_metrics": {"rif": 3}}'
REPORT = b"endpoint-load-metrics: TEXT cpu_utilization=0.25"


class Probed:
    """A proxy that sends no requests, only probes."""

    def __init__(self, way: Path) -> None:
        self.way = way
        self.group: Group = way.proxy.plan.groups["app"]
        self.backend: Backend = way.backend
        self.balancer = unwatched(self.group.balancer, Listening)
        assert isinstance(self.balancer.prober, Prober)
        self.prober: Prober = self.balancer.prober

    def probe(self, times: int = 1) -> None:
        for _ in range(times):
            self.prober(self.backend)

    async def until_over(self) -> None:
        await until_true(lambda: self.prober.total == 0)
        assert self.prober.out == {}

    @property
    def heard(self) -> list[float]:
        return [report.cpu for _, report in self.balancer.heard]

    def cell(self, which: int) -> int:
        return int(self.group.rows[which])


@asynccontextmanager
async def probed(*scripts: Script, more: str = "timeout: 5s", pool: str = "pool: {}") -> AsyncIterator[Probed]:
    upstream = f"{ALGORITHM}, {pool}, load_reports: {{probe: {{{more}}}}}"
    async with path(*scripts, upstream=upstream) as way:
        yield Probed(way)


@pytest.mark.parametrize(
    ("answer", "heard"),
    [
        (response(JSON), [0.5]),
        (response(b"cpu_utilization=0.75"), [0.75]),
        (response(b"", headers=[REPORT]), [0.25]),
        (response(b"whatever", headers=[REPORT]), [0.25]),
        (response(b"", headers=[b"endpoint-load-metrics-bin: CQAAAAAAAOA/"]), [0.5]),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" + JSON[:5] + b"\r\n%x\r\n" % len(JSON[5:])
         + JSON[5:] + b"\r\n0\r\n\r\n", [0.5]),
        (response(b"nonsense"), []),
        (response(JSON, b"404 Not Found"), []),
        (response(JSON, b"503 Busy"), []),
    ],
    ids=["json", "text", "header", "header and body", "binary", "chunks", "nonsense", "404", "503"],
)  # fmt: skip
async def test_what_is_answered_is_told(answer: bytes, heard: list[float]) -> None:
    async with probed([request(), answer, request(), answer]) as at:
        at.probe()
        await at.until_over()
        assert at.heard == heard
        assert (at.cell(U_PROBES), at.cell(U_PROBES_ANSWERED), at.cell(U_REPORTS)) == (1, len(heard), len(heard))
        at.probe()
        await at.until_over()
        (peer,) = at.way.origin.peers
        assert len(peer.requests) == 2, "the connection goes back into the pool"
        asked = peer.requests[0]
        assert (asked.method, asked.target) == (b"GET", b"/load")
        assert asked.header(b"host") == at.backend.name.encode()
        assert asked.header(b"user-agent") == b"qantara-probe"


async def test_it_is_no_request() -> None:
    async with probed([request(), close]) as at:
        at.probe()
        await at.until_over()
        backend = at.backend
        assert at.heard == []
        assert [backend.rows[backend.own + cell] for cell in (REQUESTS, FAILURES)] == [0, 0]
        assert (backend.in_flight, backend.connects_in_row) == (0, 0)
        assert (backend.errors_in_row, backend.gateway_in_row) == (0, 0)
        assert backend.healthy_at(0)


async def test_a_backend_that_refuses_is_not_judged_by_it() -> None:
    async with Origin() as origin:
        address = origin.address
    upstream = f"{ALGORITHM}, load_reports: {{probe: {{}}}}, backends: ['{address}']"
    async with running(f"upstreams: {{app: {{{upstream}}}}}\nroutes: [{{upstream: app}}]\n") as alone:
        group = alone.proxy.plan.groups["app"]
        (backend,) = group.members.all
        group.balancer.prober(backend)
        await until_true(lambda: group.balancer.prober.total == 0)
        assert backend.connects_in_row == 0
        assert backend.ejected_until() == 0


async def test_late_answers_say_nothing() -> None:
    gate = asyncio.Event()
    async with probed([request(), wait(gate), response(JSON), never], more="timeout: 1ms") as at:
        at.probe()
        await until_true(lambda: at.way.origin.requests)
        await asyncio.sleep(0.002)  # the time-out itself
        gate.set()
        await at.until_over()
        assert at.heard == []
        assert len(at.backend.pool.idle) == 1, "the connection is as good as before"


async def test_there_are_never_more_than_allowed() -> None:
    for limits, most in (("per_backend: 3", 3), ("per_backend: 9, most: 2", 2)):
        gate = asyncio.Event()
        async with probed([request(), wait(gate), response(JSON)], more=f"timeout: 5s, {limits}") as at:
            for sent in range(1, most + 1):
                at.probe(2)  # where one waits for a connection, another one is not sent
                await until_true(lambda: len(at.way.origin.requests) == sent)  # noqa: B023
            at.probe(10)
            assert (at.prober.total, at.cell(U_PROBES)) == (most, most)
            gate.set()
            await at.until_over()
            assert len(at.heard) == most


async def test_no_probe_takes_a_connection_that_somebody_waits_for() -> None:
    async with probed([request(), never], pool="pool: {max: 1}") as at:
        await at.way.client.send(GET)
        await until_true(lambda: at.way.origin.requests)
        at.probe()
        assert (at.prober.total, at.cell(U_PROBES)) == (0, 0), "the pool has no connection to give away"


async def test_an_answer_without_end_is_cut_off() -> None:
    endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 65535 + b"\r\n"
    async with probed([request(), endless, never]) as at:
        at.probe()
        await at.until_over()
        assert at.heard == []
        await until_true(lambda: at.backend.pool.size == 0)


async def test_without_probes_there_is_no_prober() -> None:
    async with path([request(), response()], upstream=ALGORITHM) as way:
        assert way.proxy.plan.groups["app"].balancer.prober is None


async def test_the_prober_reaches_the_algorithm_behind_parts() -> None:
    async with Origin([request(), response(JSON)]) as origin:
        upstream = f"{ALGORITHM}, subset: 1, load_reports: {{probe: {{timeout: 5s}}}}, backends: ['{origin.address}']"
        async with running(f"upstreams: {{app: {{{upstream}}}}}\nroutes: [{{upstream: app}}]\n") as alone:
            balancer = alone.proxy.plan.groups["app"].balancer
            (child,) = balancer.children.values()
            inner = unwatched(child, Listening)
            assert inner.prober is balancer.prober is not None
            inner.prober(alone.proxy.plan.groups["app"].members.all[0])
            await until_true(lambda: inner.heard)
