"""Load reports in responses: who is told, what of, how often, and what the client sees of it."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from math import isnan

import pytest

from proxy.metrics import U_BALANCER_FAILED, U_REPORTS, U_REPORTS_REFUSED, U_REPORTS_STALE
from proxy.server.proxy import Proxy
from tests.balancing.listening import Listening
from tests.support.client import connect
from tests.support.origin import Origin, Script, end_of_input, request, response, wait
from tests.support.path import GET, GET_1_0, Path, path, until_true
from tests.support.running import running, to_backends, unwatched

ALGORITHM = "balance: 'tests.balancing.listening:Listening'"
REPORT = b"endpoint-load-metrics: TEXT cpu_utilization=0.5, named_metrics.rif=3"
TIMING = b'Server-Timing: db;dur=50, cpu;dur=12.5;desc="all of it"'
KEPT = b"X-Kept: 1"


def reporting(*headers: bytes, body: bytes = b"ok", status: bytes = b"200 OK") -> Script:
    return [request(), response(body, status, [*headers, KEPT])]


def listener(proxy: Proxy) -> Listening:
    return unwatched(proxy.plan.groups["app"].balancer, Listening)


def cell(way: Path, which: int) -> int:
    return int(way.proxy.plan.groups["app"].rows[which])


@pytest.mark.parametrize("get", [GET, GET_1_0])
async def test_a_report_is_told_once_and_not_shown(get: bytes) -> None:
    async with path(reporting(REPORT), upstream=ALGORITHM) as way:
        got = await way.client.request(get)
        assert (got.status, got.body, got.header(b"x-kept")) == (200, b"ok", b"1")
        assert got.header(b"endpoint-load-metrics") is None
        balancer = listener(way.proxy)
        await until_true(lambda: balancer.ended)
        ((name, report),) = balancer.heard
        assert (name, report.cpu, report.in_flight) == (way.backend.name, 0.5, 2.0), "one less: this request is over"
        assert balancer.ended[0][2] is report, "the same report is told with the end of the request"
        assert way.backend.report is report
        assert cell(way, U_REPORTS) == 1


async def test_a_long_response_is_reported_when_it_is_over() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + REPORT + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    go_on = asyncio.Event()
    async with path([request(), head, wait(go_on), b"0\r\n\r\n"], upstream=ALGORITHM) as way:
        await way.client.send(GET)
        await until_true(lambda: way.backend.report is not None)
        assert listener(way.proxy).heard == [], "told once, with the end of the request"
        go_on.set()
        got = await way.client.response()
        assert (got.body, got.header(b"endpoint-load-metrics")) == (b"hello", None)
        await until_true(lambda: len(listener(way.proxy).heard) == 1)


async def test_what_was_said_before_a_very_long_response_is_not_believed_behind_it() -> None:
    head = b"HTTP/1.1 200 OK\r\n" + REPORT + b"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    go_on = asyncio.Event()
    soon = f"{ALGORITHM}, load_reports: {{max_age: 10ms}}"
    async with path([request(), head, wait(go_on), b"0\r\n\r\n"], upstream=soon) as way:
        await way.client.send(GET)
        await until_true(lambda: cell(way, U_REPORTS_STALE) == 1)
        go_on.set()
        assert (await way.client.response()).body == b"hello"
        await until_true(lambda: listener(way.proxy).ended)
        assert listener(way.proxy).ended[0][2] is None


async def test_before_a_tunnel_a_report_is_told_at_once() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n" + REPORT + b"\r\n\r\n"
    upgrade = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with path([request(), head, end_of_input], upstream=ALGORITHM) as way:
        await way.client.send(upgrade)
        assert (await way.client.response(upgrade=b"websocket")).status == 101
        assert listener(way.proxy).asked == 1


@pytest.mark.parametrize(
    ("headers", "cpu", "cost"),
    [
        ([TIMING], None, 0.0125),
        ([REPORT, TIMING], 0.5, 0.0125),
        ([REPORT + b", request_cost.cpu=0.2", TIMING], 0.5, 0.2),
        ([b"Server-Timing: db;dur=1", TIMING], None, 0.0125),
        ([b"endpoint-load-metrics-bin: " + b64encode(bytes.fromhex("09000000000000e83f")), REPORT], 0.75, None),
        ([b'Endpoint-Load-Metrics: JSON {"cpu_utilization": 0.25}'], 0.25, None),
        ([b"endpoint-load-metrics: TEXT cpu_utilization=2:3", TIMING], None, 0.0125),
    ],
)
async def test_what_is_read(headers: list[bytes], cpu: float | None, cost: float | None) -> None:
    async with path(reporting(*headers), upstream=ALGORITHM) as way:
        got = await way.client.request(GET)
        assert {name for name, _ in got.headers} <= {b"x-kept", b"content-length"}
        ((_, report),) = listener(way.proxy).heard
        assert isnan(report.cpu) if cpu is None else report.cpu == cpu
        assert isnan(report.cost) if cost is None else report.cost == pytest.approx(cost)


async def test_what_cannot_be_read_is_counted_and_not_shown() -> None:
    async with path(reporting(b"endpoint-load-metrics: TEXT cpu_utilization=nan"), upstream=ALGORITHM) as way:
        got = await way.client.request(GET)
        assert (got.status, got.header(b"endpoint-load-metrics")) == (200, None)
        assert (cell(way, U_REPORTS), cell(way, U_REPORTS_REFUSED)) == (0, 1)
        assert listener(way.proxy).heard == []
        await until_true(lambda: listener(way.proxy).ended)
        assert listener(way.proxy).ended[0][2] is None


async def test_reports_do_not_stay_for_the_next_request() -> None:
    script: Script = [*reporting(REPORT), *reporting()]
    async with path(script, upstream=ALGORITHM) as way:
        await way.client.request(GET)
        await way.client.request(GET)
        balancer = listener(way.proxy)
        await until_true(lambda: len(balancer.ended) == 2)
        assert [report is None for _, _, report in balancer.ended] == [False, True]
        assert len(balancer.heard) == 1


async def test_what_is_not_listened_to_is_passed_on() -> None:
    async with path(reporting(REPORT, TIMING)) as way:
        got = await way.client.request(GET)
        assert got.header(b"endpoint-load-metrics") is not None
        assert got.header(b"server-timing") is not None
        assert (way.backend.report, cell(way, U_REPORTS)) == (None, 0)


async def test_only_what_is_listed_is_read_and_stripped() -> None:
    wanted = f"{ALGORITHM}, load_reports: {{headers: [endpoint-load-metrics]}}"
    async with path(reporting(REPORT, TIMING), upstream=wanted) as way:
        got = await way.client.request(GET)
        assert got.header(b"endpoint-load-metrics") is None
        assert got.header(b"server-timing") is not None
        assert isnan(listener(way.proxy).heard[0][1].cost)


async def test_stripping_can_be_off() -> None:
    wanted = f"{ALGORITHM}, load_reports: {{strip: false}}"
    async with path(reporting(REPORT), upstream=wanted, route="response_headers: {set: {X-Mine: a}}") as way:
        got = await way.client.request(GET)
        assert (got.header(b"endpoint-load-metrics") is None, got.header(b"x-mine")) == (False, b"a")
        assert len(listener(way.proxy).heard) == 1


async def test_a_routes_own_changes_stay() -> None:
    changes = "response_headers: {set: {X-Mine: a}, remove: [X-Kept]}"
    async with path(reporting(REPORT), upstream=ALGORITHM, route=changes) as way:
        got = await way.client.request(GET)
        assert {name for name, _ in got.headers} == {b"x-mine", b"content-length"}


async def test_listening_needs_no_algorithm_that_does() -> None:
    async with path(reporting(REPORT), upstream="load_reports: {}") as way:
        got = await way.client.request(GET)
        assert got.header(b"endpoint-load-metrics") is None
        report = way.backend.report
        assert report is not None
        assert report.cpu == 0.5


async def test_a_switch_of_protocols_reports_too() -> None:
    ask = b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    agree = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" + REPORT + b"\r\n\r\n"
    async with path([request(), agree], upstream=ALGORITHM) as way:
        await way.client.send(ask)
        got = await way.client.response(upgrade=b"websocket")
        assert (got.status, got.header(b"endpoint-load-metrics")) == (101, None)
        assert len(listener(way.proxy).heard) == 1


async def test_each_of_two_tries_is_reported_by_its_backend() -> None:
    failing = reporting(b"endpoint-load-metrics: TEXT cpu_utilization=0.9", status=b"503 Busy")
    async with Origin(failing) as first, Origin(reporting(REPORT)) as second:
        yaml = to_backends(first.address, second.address, more=f"{ALGORITHM}, retry: {{on: [503]}}")
        async with running(yaml) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).status == 200
            balancer = listener(proxy.proxy)
            await until_true(lambda: len(balancer.ended) == 2)
            assert [(name, report.cpu) for name, report in balancer.heard] == [
                (first.address, 0.9),
                (second.address, 0.5),
            ]
            assert [(name, report is not None and report.cpu) for name, _, report in balancer.ended] == [
                (first.address, 0.9),
                (second.address, 0.5),
            ]


async def test_the_report_of_a_hedged_request_is_that_of_who_answered() -> None:
    gate = asyncio.Event()
    late: Script = [request(), wait(gate), response(b"late", headers=[b"endpoint-load-metrics: TEXT eps=9"])]
    async with Origin(late) as first, Origin(reporting(REPORT)) as second:
        yaml = to_backends(first.address, second.address, more=f"{ALGORITHM}, retry: {{hedge: {{delay: 20ms}}}}")
        async with running(yaml) as proxy, connect(proxy.address) as client:
            got = await client.request(GET)
            assert (got.body, got.header(b"endpoint-load-metrics")) == (b"ok", None)
            balancer = listener(proxy.proxy)
            await until_true(lambda: len(balancer.ended) == 2)
            assert [(name, report.cpu) for name, report in balancer.heard] == [(second.address, 0.5)]
            reports = {name: report for name, _, report in balancer.ended}
            assert reports[first.address] is None
            assert reports[second.address] is balancer.heard[0][1]
            gate.set()


async def test_an_algorithm_that_chokes_on_a_report_is_replaced_and_the_response_goes_on() -> None:
    broken = "balance: {algorithm: 'tests.balancing.listening:Listening', broken: true}"
    async with path([*reporting(REPORT), *reporting(REPORT)], upstream=broken) as way:
        assert (await way.client.request(GET)).status == 200
        assert cell(way, U_BALANCER_FAILED) == 1
        assert (await way.client.request(GET)).status == 200
        assert cell(way, U_BALANCER_FAILED) == 1


async def test_a_report_grows_old() -> None:
    wanted = "load_reports: {max_age: 10ms}"
    async with path(reporting(REPORT), upstream=wanted) as way:
        await way.client.request(GET)
        assert way.backend.report is not None
        await until_true(lambda: way.backend.report is None)
        assert cell(way, U_REPORTS_STALE) == 1
