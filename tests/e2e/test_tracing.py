"""Traces: what the collector gets, what backends are told, and that neither costs a request anything."""

from __future__ import annotations

import asyncio
import re
import signal
from pathlib import Path

import orjson
import pytest

from proxy.configuration.load import load_text
from proxy.features.tracing.trace import WHY
from proxy.scoreboard import C_TRACES_DROPPED, C_TRACES_EXPORTED, C_TRACES_FAILED, C_TRACES_KEPT
from proxy.server.proxy import Proxy
from tests.support.client import connect
from tests.support.collector import CLIENT, ERROR, SERVER, Collector, Span
from tests.support.origin import Origin, Peer, Script, close, never, request, reset, response, tell, until, wait
from tests.support.path import GET, made, until_true
from tests.support.plans import linked
from tests.support.running import running
from tests.support.service import running as processes

OK: Script = [request(), response(b"ok")]
FAILED: Script = [request(), response(b"no", b"503 Service Unavailable")]
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LOCAL = "trusted_proxies: [127.0.0.0/8]\n"


def yaml(
    collector: Collector | str, *origins: Origin | str, tracing: str = "", upstream: str = "", more: str = ""
) -> str:
    """`tracing` and `upstream` are further keys in flow style, `more` is top-level; every trace is kept."""
    url = collector if isinstance(collector, str) else collector.url
    listed = ", ".join(f"'{each if isinstance(each, str) else each.address}'" for each in origins)
    defaults = {"interval": "10ms", "keep": "{share: 100%}"}
    missing = [f"{key}: {value}" for key, value in defaults.items() if f"{key}:" not in tracing]
    keys = ", ".join([tracing] * bool(tracing) + missing)
    return (
        f"upstreams: {{app: {{backends: [{listed}], balance: 'tests.balancing.algorithms:InOrder', {upstream}}}}}\n"
        f"tracing: {{endpoint: '{url}', {keys}}}\n"
        f"routes: [{{name: web, upstream: app}}, {{exact: /fixed, respond: {{body: hi}}}}]\n{more}"
    )


def with_headers(*lines: str, target: str = "/a%20b?token=secret") -> bytes:
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: shop.example:8443", *lines, "", ""]).encode()


def counted(proxy: Proxy, cell: int) -> int:
    return int(proxy.counters.cells[cell])


async def gone() -> str:
    async with Origin() as origin:
        return origin.address


def sorted_by_kind(spans: list[Span]) -> tuple[Span, list[Span]]:
    """The span of the request, and those of its tries in the order in which they were picked."""
    (server,) = [span for span in spans if span.kind == SERVER]
    clients = sorted((span for span in spans if span.kind == CLIENT), key=lambda span: span.start)
    assert {span.trace_id for span in spans} == {server.trace_id}
    assert {span.parent_id for span in clients} <= {server.span_id}
    assert len({span.span_id for span in spans}) == len(spans)
    for span in clients:
        assert server.start <= span.start <= span.end <= server.end
    return server, clients


# --- spans --------------------------------------------------------------------------------------------


async def test_a_request_has_a_span_and_so_has_its_try() -> None:
    async with Collector() as collector, Origin(OK) as origin:
        text = yaml(collector, origin, tracing="service: shop, attributes: {deployment.environment.name: test}")
        async with running(text) as proxy, connect(proxy.address) as client:
            sent = with_headers("User-Agent: tester", "Cookie: secret")
            assert (await client.request(sent)).body == b"ok"
            server, (attempt,) = sorted_by_kind(await collector.until_spans(2))
    host, port = origin.address.split(":")
    assert (server.name, server.parent_id, server.status, server.events) == ("GET web", "", 0, ["pick"])
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/a%20b",
        "http.route": "web",
        "server.address": "shop.example",
        "server.port": 8443,
        "client.address": "127.0.0.1",
        "network.peer.address": "127.0.0.1",
        "network.protocol.version": "1.1",
        "user_agent.original": "tester",
        "http.response.status_code": 200,
        "http.response.body.size": 2,
        "qantara.upstream": "app",
        "qantara.backend": origin.address,
        "qantara.tries": 1,
        "qantara.request_id": server.attributes["qantara.request_id"],
        "qantara.kept": "share",
    }
    assert (attempt.name, attempt.status) == ("GET", 0)
    assert attempt.attributes == {
        "http.request.method": "GET",
        "server.address": host,
        "server.port": int(port),
        "url.full": f"http://{origin.address}/a%20b",
        "http.response.status_code": 200,
        "qantara.backend": origin.address,
    }
    assert attempt.events == ["send"]
    assert server.resource["service.name"] == "shop"
    assert server.resource["deployment.environment.name"] == "test"
    assert "secret" not in repr((server, attempt))
    told = origin.requests[0].header(b"traceparent")
    assert told == f"00-{server.trace_id}-{attempt.span_id}-01".encode()


async def test_what_the_proxy_answers_itself_has_a_span() -> None:
    async with Collector() as collector, Origin(OK) as origin, running(yaml(collector, origin)) as proxy:
        async with connect(proxy.address) as client:
            assert (await client.request(with_headers(target="/fixed"))).body == b"hi"
            fixed, _ = sorted_by_kind(await collector.until_spans(1))
            await client.request(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\n")
            refused = (await collector.until_spans(2))[1]
    assert (fixed.name, fixed.status, fixed.attributes["qantara.reason"]) == ("GET /fixed", 0, "route.fixed")
    assert refused.attributes["error.type"] == "accept.bad_transfer_encoding"
    assert (refused.name, refused.status, refused.attributes["qantara.kept"]) == ("GET", ERROR, "error")


async def test_each_try_has_a_span() -> None:
    refusing = await gone()
    async with Collector() as collector, Origin(FAILED) as bad, Origin([until(b"\r\n\r\n"), close]) as mute:
        async with Origin(OK) as good:
            upstream = "retry: {attempts: 3, on: [error, 503], budget_min: 100}, outlier: null"
            text = yaml(collector, refusing, bad, mute, good, upstream=upstream)
            async with running(text) as proxy, connect(proxy.address) as client:
                assert (await client.request(GET)).body == b"ok"
                server, tries = sorted_by_kind(await collector.until_spans(5))
    assert (server.status, server.attributes["qantara.tries"]) == (0, 4)
    assert [each.attributes["qantara.backend"] for each in tries] == [
        refusing,
        bad.address,
        mute.address,
        good.address,
    ]
    assert [each.attributes.get("error.type") for each in tries] == ["connect.refused", "503", "send.reset", None]
    assert [each.attributes.get("http.request.resend_count", 0) for each in tries] == [0, 1, 2, 3]
    assert [each.status for each in tries] == [ERROR, ERROR, ERROR, 0]
    assert [each.events for each in tries] == [[], ["send", "relay"], ["send"], ["send"]]
    assert good.requests[0].header(b"traceparent") == f"00-{server.trace_id}-{tries[3].span_id}-01".encode()
    assert bad.requests[0].header(b"traceparent") == f"00-{server.trace_id}-{tries[1].span_id}-01".encode()


async def test_a_stale_connection_is_a_try_too() -> None:
    async with Collector() as collector, Origin([*OK, until(b"\r\n\r\n"), close], OK) as origin:
        async with running(yaml(collector, origin)) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == b"ok"
            await collector.until_spans(2)
            assert (await client.request(GET)).body == b"ok"
            _, tries = sorted_by_kind((await collector.until_spans(5))[2:])
    assert [each.attributes.get("error.type") for each in tries] == ["send.reset", None]


@pytest.mark.parametrize("winner", ["first", "second"])
async def test_a_hedge_has_a_span_of_its_own(winner: str) -> None:
    asked, answering = asyncio.Event(), asyncio.Event()
    first_script: Script = [request(), wait(answering), response(b"first")] if winner == "first" else [request(), never]
    second_script: Script = [request(), tell(asked), never] if winner == "first" else [request(), response(b"second")]
    async with Collector() as collector, Origin(first_script) as first, Origin(second_script) as second:
        text = yaml(collector, first, second, upstream="retry: {hedge: {delay: 20ms}}")
        async with running(text) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            if winner == "first":
                await asked.wait()
                answering.set()
            assert (await client.response(b"GET")).body == winner.encode()
            server, tries = sorted_by_kind(await collector.until_spans(3))
    assert [each.attributes.get("qantara.hedge", False) for each in tries] == [False, True]
    assert [each.attributes.get("qantara.dropped", False) for each in tries] == [winner != "first", winner == "first"]
    assert [each.attributes.get("http.response.status_code") for each in tries] == (
        [200, None] if winner == "first" else [None, 200]
    )
    assert [each.status for each in tries] == [0, 0]
    for origin, attempt in zip((first, second), tries, strict=True):
        told = origin.requests[0].header(b"traceparent")
        assert told == f"00-{server.trace_id}-{attempt.span_id}-01".encode()
        assert attempt.attributes["qantara.backend"] == origin.address


async def test_a_hedge_that_goes_on_alone() -> None:
    asked, failing = asyncio.Event(), asyncio.Event()
    first_script: Script = [request(), wait(failing), reset]
    answering = asyncio.Event()
    second_script: Script = [request(), tell(asked), wait(answering), response(b"second")]
    async with Collector() as collector, Origin(first_script) as first, Origin(second_script) as second:
        text = yaml(collector, first, second, upstream="retry: {hedge: {delay: 20ms}}")
        async with running(text) as proxy, connect(proxy.address) as client:
            await client.send(GET)
            await asked.wait()
            failing.set()
            backend = proxy.proxy.plan.groups["app"].members.all[0]
            await until_true(lambda: backend.failures == 1)
            answering.set()
            assert (await client.response(b"GET")).body == b"second"
            _, tries = sorted_by_kind(await collector.until_spans(3))
    assert [each.attributes.get("error.type") for each in tries] == ["send.reset", None]
    assert "qantara.dropped" not in tries[0].attributes


async def test_failures_are_named() -> None:
    async with Collector() as collector, Origin([request(), never]) as origin:
        more = "timeouts: {response_head: 50ms}\n"
        upstream = "retry: {attempts: 0}"
        async with running(yaml(collector, origin, upstream=upstream, more=more)) as proxy:
            async with connect(proxy.address) as client:
                assert made(await client.request(GET)) == (504, "relay.head_timeout")
                server, (attempt,) = sorted_by_kind(await collector.until_spans(2))
    for span in (server, attempt):
        assert (span.status, span.attributes["error.type"]) == (ERROR, "relay.head_timeout")
    assert server.attributes["qantara.kept"] == "error"


async def test_an_upgrade_has_the_status_of_its_head() -> None:
    agree = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with Collector() as collector, Origin([request(), agree, b"bye", close]) as origin:
        text = yaml(collector, origin).replace("{name: web, upstream: app}", "{upstream: app, upgrades: [websocket]}")
        async with running(text) as proxy:
            async with connect(proxy.address) as client:
                await client.send(with_headers("Connection: Upgrade", "Upgrade: websocket"))
                assert (await client.response(upgrade=b"websocket")).status == 101
                assert await client.read_to_end() == b"bye"
            server, (attempt,) = sorted_by_kind(await collector.until_spans(2))
    for span in (server, attempt):
        assert span.attributes["http.response.status_code"] == 101


async def test_a_client_that_leaves_is_no_error() -> None:
    asked = asyncio.Event()
    async with Collector() as collector, Origin([request(), tell(asked), never]) as origin:
        async with running(yaml(collector, origin)) as proxy:
            async with connect(proxy.address) as client:
                await client.send(GET)
                await asked.wait()
            server, (attempt,) = sorted_by_kind(await collector.until_spans(2))
    assert (server.status, attempt.status) == (0, 0)
    assert server.attributes["qantara.reason"] == attempt.attributes["qantara.reason"] == "relay.client_gone"


# --- context ------------------------------------------------------------------------------------------


async def test_a_believed_context_is_gone_on_with() -> None:
    async with Collector() as collector, Origin(OK) as origin:
        async with running(yaml(collector, origin, more=LOCAL)) as proxy, connect(proxy.address) as client:
            sent = with_headers(f"traceparent: 00-{TRACE}-{PARENT}-01", "tracestate: a=1", "Tracestate: b=2")
            assert (await client.request(sent)).body == b"ok"
            server, (attempt,) = sorted_by_kind(await collector.until_spans(2))
    assert (server.trace_id, server.parent_id, server.state) == (TRACE, PARENT, "a=1,b=2")
    assert server.attributes["qantara.kept"] == "sampled"
    told = origin.requests[0]
    assert told.header(b"traceparent") == f"00-{TRACE}-{attempt.span_id}-01".encode()
    assert told.header(b"tracestate") == b"a=1,b=2"


async def test_a_context_that_is_not_believed_is_only_linked_to() -> None:
    async with Collector() as collector, Origin(OK) as origin:
        async with running(yaml(collector, origin)) as proxy, connect(proxy.address) as client:
            sent = with_headers(f"Traceparent: 00-{TRACE}-{PARENT}-01", "tracestate: a=1")
            assert (await client.request(sent)).body == b"ok"
            server, _ = sorted_by_kind(await collector.until_spans(2))
    assert server.trace_id != TRACE
    assert (server.parent_id, server.links) == ("", [(TRACE, PARENT)])
    told = origin.requests[0]
    assert told.header(b"tracestate") is None
    header = told.header(b"traceparent")
    assert header is not None
    assert TRACE.encode() not in header


@pytest.mark.parametrize(
    ("believe", "trusted", "believed"),
    [("everybody", "", True), ("nobody", LOCAL, False), ("trusted", "", False), ("trusted", LOCAL, True)],
)
async def test_who_is_believed(believe: str, trusted: str, believed: bool) -> None:
    async with Collector() as collector, Origin(OK) as origin:
        text = yaml(collector, origin, tracing=f"believe: {believe}", more=trusted)
        async with running(text) as proxy, connect(proxy.address) as client:
            await client.request(with_headers(f"traceparent: 00-{TRACE}-{PARENT}-00"))
            server, _ = sorted_by_kind(await collector.until_spans(2))
    assert (server.trace_id == TRACE) is believed


@pytest.mark.parametrize(
    "lines",
    [
        [f"traceparent: 00-{TRACE.upper()}-{PARENT}-01"],
        [f"traceparent: 00-{TRACE}-{PARENT}-01", f"traceparent: 00-{TRACE}-{PARENT}-01"],
        [f"traceparent: 00-{TRACE}-{PARENT}"],
    ],
    ids=["upper case", "twice", "short"],
)
async def test_a_malformed_context_begins_a_new_trace(lines: list[str]) -> None:
    async with Collector() as collector, Origin(OK) as origin:
        async with running(yaml(collector, origin, more=LOCAL)) as proxy, connect(proxy.address) as client:
            await client.request(with_headers(*lines, "tracestate: a=1"))
            server, _ = sorted_by_kind(await collector.until_spans(2))
    assert server.trace_id != TRACE
    assert (server.links, server.parent_id) == ([], "")
    header = origin.requests[0].header(b"traceparent")
    assert header is not None
    assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01", header)
    assert origin.requests[0].header(b"tracestate") is None


# --- what is kept -------------------------------------------------------------------------------------


async def held(_: Peer) -> None:
    """Stands for a step that waits until the test goes on."""


NOTHING = "keep: {errors: false, slow: null, sampled: false, share: 0%}"


@pytest.mark.parametrize(
    ("keep", "script", "flags", "why", "announced"),
    [
        (NOTHING, OK, "01", None, "01"),
        ("keep: {share: 0%}", OK, "00", None, "00"),
        ("keep: {share: 0%}", OK, "01", "sampled", "01"),
        ("keep: {share: 0%}", FAILED, "00", "error", "00"),
        ("keep: {share: 0%, errors: false}", FAILED, "00", None, "00"),
        ("keep: {share: 0%, slow: 1ms}", [request(), held, response(b"ok")], "00", "slow", "00"),
        ("keep: {share: 100%}", OK, "00", "share", "01"),
        ("keep: {share: 0%}, sampled_flag: always", OK, "00", None, "01"),
    ],
    ids=["nothing", "no share", "sampled", "error", "no errors", "slow", "share", "always flagged"],
)
async def test_what_is_kept(keep: str, script: Script, flags: str, why: str | None, announced: str) -> None:
    late = asyncio.Event()
    script = [wait(late) if step is held else step for step in script]
    async with Collector() as collector, Origin(script) as origin:
        async with running(yaml(collector, origin, tracing=keep, more=LOCAL)) as proxy:
            async with connect(proxy.address) as client:
                await client.send(with_headers(f"traceparent: 00-{TRACE}-{PARENT}-{flags}"))
                await until_true(lambda: origin.requests)
                asyncio.get_running_loop().call_later(0.005, late.set)  # later than slow, however fast the machine is
                await client.response(b"GET")
                await until_true(lambda: proxy.proxy.counters.in_flight == 0)
                kept = {word: counted(proxy.proxy, C_TRACES_KEPT + n) for n, word in enumerate(WHY)}
    assert kept == {word: int(word == why) for word in WHY}
    assert len(collector.spans) == (2 if why else 0)  # what was kept was sent at the end at the latest
    header = origin.requests[0].header(b"traceparent")
    assert header is not None
    assert header[-2:].decode() == announced


# --- the collector ------------------------------------------------------------------------------------


async def test_a_dead_collector_harms_nobody() -> None:
    dead = f"http://{await gone()}/v1/traces"
    async with Origin(OK, forever=True) as origin:
        async with running(yaml(dead, origin, tracing="timeout: 50ms")) as proxy, connect(proxy.address) as client:
            for _ in range(5):
                assert (await client.request(GET)).body == b"ok"
            await until_true(lambda: counted(proxy.proxy, C_TRACES_FAILED) == 5)
            assert counted(proxy.proxy, C_TRACES_EXPORTED) == 0


async def test_a_collector_that_refuses_is_counted_and_asked_again() -> None:
    refuse: Script = [request(), response(b"", b"400 Bad Request"), request(), response()]
    async with Collector(refuse) as collector, Origin(OK, forever=True) as origin:
        async with running(yaml(collector, origin)) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == b"ok"
            await until_true(lambda: counted(proxy.proxy, C_TRACES_FAILED) == 1)
            assert (await client.request(GET)).body == b"ok"
            await until_true(lambda: counted(proxy.proxy, C_TRACES_EXPORTED) == 1)


async def test_a_slow_collector_fills_the_buffer_and_no_more() -> None:
    """One is on its way, two wait, and the rest is dropped and counted; requests are served all the while."""
    asked, answering = asyncio.Event(), asyncio.Event()
    slow: Script = [request(), tell(asked), wait(answering), response(), request(), response()]
    async with Collector(slow) as collector, Origin(OK, forever=True) as origin:
        text = yaml(collector, origin, tracing="buffer: 2, batch: 2, timeout: 10s")
        async with running(text) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == b"ok"
            await asked.wait()
            for _ in range(5):
                assert (await client.request(GET)).body == b"ok"
            assert counted(proxy.proxy, C_TRACES_DROPPED) == 3
            answering.set()
            await until_true(lambda: counted(proxy.proxy, C_TRACES_EXPORTED) == 3)
        assert len(collector.spans) == 6


async def test_the_end_waits_for_a_stuck_collector_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.control.trace_export.exporter.CLOSE_WITHIN", 0.05)
    async with Collector([request(), never]) as collector, Origin(OK) as origin:
        async with running(yaml(collector, origin, tracing="timeout: 10s")) as proxy:
            async with connect(proxy.address) as client:
                assert (await client.request(GET)).body == b"ok"
                await until_true(lambda: collector.requests)
            tracing = proxy.proxy.tracing
            assert tracing is not None
            await proxy.proxy.close()
            assert tracing.thread.is_alive()
    await until_true(lambda: not tracing.thread.is_alive())  # its collector is gone now


async def test_headers_go_to_the_collector_and_nowhere_else() -> None:
    async with Collector() as collector, Origin(OK) as origin:
        text = yaml(collector, origin, tracing="headers: {authorization: Bearer hush}")
        async with running(text) as proxy, connect(proxy.address) as client:
            await client.request(GET)
            await collector.until_spans(2)
    assert collector.requests[0].header(b"authorization") == b"Bearer hush"
    assert origin.requests[0].header(b"authorization") is None


# --- reload, log --------------------------------------------------------------------------------------


def plan_of(text: str, proxy: Proxy) -> object:
    listener = "listeners: [{bind: '127.0.0.1:0'}]\naccess_log: null\n"
    return linked(load_text(text + listener).config, registry=proxy.registry)


async def test_a_reload_changes_the_collector_and_loses_nothing() -> None:
    asked, answering = asyncio.Event(), asyncio.Event()
    script: Script = [request(), tell(asked), wait(answering), response(b"ok"), *OK, *OK]
    async with Collector() as before, Collector() as after, Origin(script) as origin:
        async with running(yaml(before, origin, tracing="interval: 1h")) as proxy:
            async with connect(proxy.address) as client:
                await client.request(with_headers(target="/fixed"))
                await client.send(GET)
                await asked.wait()
                await proxy.proxy.adopt(plan_of(yaml(after, origin), proxy.proxy))  # type: ignore[arg-type]
                assert [span.name for span in before.spans] == ["GET /fixed"]  # what waited for the old one is there
                answering.set()
                assert (await client.response(b"GET")).body == b"ok"
                _, tries = sorted_by_kind(await after.until_spans(2))
                assert len(tries) == 1
                untraced = yaml(after, origin).replace("tracing:", "tracing: null\n#")
                await proxy.proxy.adopt(plan_of(untraced, proxy.proxy))  # type: ignore[arg-type]
                assert (await client.request(GET)).body == b"ok"
                assert proxy.proxy.tracing is None
                assert origin.requests[1].header(b"traceparent") is None
                await proxy.proxy.adopt(plan_of(yaml(before, origin), proxy.proxy))  # type: ignore[arg-type]
                assert (await client.request(GET)).body == b"ok"
                await before.until_spans(3)
        assert len(after.spans) == 2


async def test_the_access_log_names_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with Collector() as collector, Origin(OK) as origin:
        text = yaml(collector, origin, more=f"access_log: {{path: '{path}'}}\n")
        async with running(text) as proxy, connect(proxy.address) as client:
            await client.request(GET)
            await client.request(with_headers(target="/fixed"))
    lines = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    servers = [span.trace_id for span in collector.spans if span.kind == SERVER]
    assert [line["trace_id"] for line in lines] == servers


async def test_without_tracing_nothing_is_linked_in(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    async with Origin(OK) as origin:
        text = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\n"
        async with running(f"{text}access_log: {{path: '{path}'}}\n") as proxy, connect(proxy.address) as client:
            await client.request(with_headers(f"traceparent: 00-{TRACE}-{PARENT}-01"))
            assert proxy.proxy.tracing is None
    assert origin.requests[0].header(b"traceparent") == f"00-{TRACE}-{PARENT}-01".encode()  # passed on as it came
    assert b"trace_id" not in path.read_bytes()


@pytest.mark.processes
async def test_workers_send_what_waits_at_a_reload_and_at_the_end(tmp_path: Path) -> None:
    async with Collector() as collector:
        traced = (
            f"tracing: {{endpoint: '{collector.url}', interval: 1h, keep: {{share: 100%}}}}\n"
            "workers: 2\nroutes: [{name: NAME, respond: {body: hi}}]\naccess_log: null\n"
        )
        async with processes(tmp_path, traced.replace("NAME", "one"), tcp=True) as service:
            await service.until_said("listening on")
            for _ in range(6):
                async with connect(service.address) as client:
                    assert (await client.request(GET)).body == b"hi"
            assert (await service.reload(traced.replace("NAME", "two").replace("1h", "2h")))["ok"]
            assert [span.name for span in await collector.until_spans(6)] == ["GET one"] * 6
            async with connect(service.address) as client:
                assert (await client.request(GET)).body == b"hi"
            service.processes[0].send_signal(signal.SIGTERM)
            await service.processes[0].wait()
            assert collector.spans[-1].name == "GET two"
