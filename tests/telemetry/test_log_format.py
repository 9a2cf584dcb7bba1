"""Lines of the access log: they parse whatever a client sends, and say what happened.

Law of this file: every line is read back by a parser; combined lines by a regular expression that allows only what
log analysers allow.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.configuration.load import load_text
from proxy.errors import ConfigError
from proxy.telemetry.log_format import Record, as_combined, as_json
from tests.support.client import connect
from tests.support.origin import Origin, Script, never, request, reset, response, tell, wait
from tests.support.running import running

RECORD = Record(
    at=1_700_000_000.25, seconds=0.0123456, client="192.0.2.1", method=b"GET", target=b"/a?b=c", host=b"example.com",
    version="1.1", status=200, bytes_in=3, bytes_out=5, route="app", upstream="app", backend="127.0.0.1:9001", tries=1,
    reason="", request_id=b"abc", referer=b"", user_agent=b"curl/8",
)  # fmt: skip
COMBINED = re.compile(
    r"(?P<client>[0-9A-Fa-f:.]+|unix) - - \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "
    r'"(?P<line>[^"\\\x00-\x1f\x7f]*(?:\\x[0-9a-f]{2}[^"\\\x00-\x1f\x7f]*)*)" (?P<status>\d{3}) (?P<size>\d+) '
    r'"(?P<referer>[^"\\\x00-\x1f\x7f]+|(?:[^"\\\x00-\x1f\x7f]|\\x[0-9a-f]{2})+)" '
    r'"(?P<agent>[^"\\\x00-\x1f\x7f]+|(?:[^"\\\x00-\x1f\x7f]|\\x[0-9a-f]{2})+)"\n'
)
HOSTILE = st.binary(max_size=60)


# --- lines ----------------------------------------------------------------------------------------------


def test_a_line_of_json() -> None:
    assert json.loads(as_json(RECORD)) == {
        "time": "2023-11-14T22:13:20.250Z", "client": "192.0.2.1", "method": "GET", "host": "example.com",
        "target": "/a?b=c", "protocol": "HTTP/1.1", "status": 200, "seconds": 0.012346, "bytes_in": 3,
        "bytes_out": 5, "route": "app", "upstream": "app", "backend": "127.0.0.1:9001", "tries": 1,
        "request_id": "abc", "user_agent": "curl/8",
    }  # fmt: skip


def test_a_combined_line() -> None:
    assert as_combined(RECORD) == (
        b'192.0.2.1 - - [14/Nov/2023:22:13:20 +0000] "GET /a?b=c HTTP/1.1" 200 5 "-" "curl/8"\n'
    )


@given(target=HOSTILE, agent=HOSTILE, referer=HOSTILE, host=HOSTILE, method=HOSTILE, request_id=HOSTILE)
def test_hostile_bytes(
    target: bytes, agent: bytes, referer: bytes, host: bytes, method: bytes, request_id: bytes
) -> None:
    record = RECORD._replace(
        target=target, user_agent=agent, referer=referer, host=host, method=method, request_id=request_id
    )
    line = as_json(record)
    fields = json.loads(line)
    assert line.count(b"\n") == 1
    assert fields.get("target", "").encode("latin-1") == target
    assert fields.get("user_agent", "").encode("latin-1") == agent
    match = COMBINED.fullmatch(as_combined(record).decode())
    assert match is not None
    agent_text = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), match["agent"])
    assert agent_text == (agent.decode("latin-1") or "-")


@pytest.mark.parametrize("at", [0.0, 1_700_000_000.0, 1_700_000_000.9999, 1_700_000_000.001])
def test_times(at: float) -> None:
    stamp = json.loads(as_json(RECORD._replace(at=at)))["time"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert abs(datetime.fromisoformat(stamp).timestamp() - at) < 0.002


# --- what is logged -------------------------------------------------------------------------------------


def with_log(yaml: str, path: Path, more: str = "") -> str:
    return f"{yaml}access_log: {{path: '{path}', flush: 10ms{more}}}\n"


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does; the test's time limit ends it."""
    while not condition():  # noqa: ASYNC110 (another thread cannot set an Event of this loop)
        await asyncio.sleep(0.002)


async def test_a_forwarded_request(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with Origin([request(), response(b"body")]) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{name: all, upstream: app}}]\n"
        async with running(with_log(yaml, path)) as proxy, connect(proxy.address) as client:
            await client.request(
                b"POST /x?y HTTP/1.1\r\nHost: a.example:80\r\nX-Request-ID: id-1\r\nReferer: http://r/\r\n"
                b"User-Agent: test\r\nContent-Length: 3\r\n\r\nabc",
                b"POST",
            )
    (entry,) = entries(path)
    assert datetime.fromisoformat(str(entry.pop("time"))).tzinfo is not None
    assert 0 <= float(str(entry.pop("seconds"))) < 20
    assert entry == {
        "client": "127.0.0.1", "method": "POST", "host": "a.example", "target": "/x?y", "protocol": "HTTP/1.1",
        "status": 200, "bytes_in": 3, "bytes_out": 4, "route": "all", "upstream": "app", "tries": 1,
        "backend": origin.address, "request_id": "id-1", "referer": "http://r/", "user_agent": "test",
    }  # fmt: skip


REFUSED = "routes: [{path: /to, redirect: {to: /x}}, {path: /fixed, respond: {}}]\n"


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, "route.no_route"),
        (b"GET /to HTTP/1.1\r\nHost: x\r\n\r\n", 308, "route.redirect"),
        (b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n", 200, "route.fixed"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "accept.bad_host"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "accept.bad_method"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX\x00: y\r\n\r\n", 400, "accept.bad_header_name"),
    ],
)
async def test_an_answer_of_the_proxy_names_its_reason(data: bytes, status: int, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        got = await client.request(data)
    (entry,) = entries(path)
    assert (entry["status"], entry["reason"]) == (status, reason) == (got.status, entry["reason"])
    if status >= 400:
        assert entry["request_id"] == json.loads(got.body)["request_id"]


async def test_a_refused_request_has_a_line_that_parses(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with (
        running(with_log(REFUSED, path, ", format: combined")) as proxy,
        connect(proxy.address) as client,
    ):
        await client.request(b'" - - [\x00] "\r\n\r\n')
    match = COMBINED.fullmatch(path.read_text())
    assert match is not None
    assert (match["line"], match["status"]) == ("-", "400")


async def test_backend_errors_are_logged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        refusing = "{}:{}".format(*closed.getsockname())
    async with Origin([request(), reset]) as origin:
        yaml = (
            f"upstreams: {{gone: {{backends: ['{refusing}']}}, bad: {{backends: ['{origin.address}']}}}}\n"
            "routes: [{path: /gone, upstream: gone}, {path: /bad, upstream: bad}]\n"
        )
        async with running(with_log(yaml, path)) as proxy, connect(proxy.address) as client:
            await client.request(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
            await client.request(b"POST /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", b"POST")
    first, second = entries(path)
    assert (first["status"], first["reason"], first["backend"]) == (502, "connect.refused", refusing)
    assert (second["status"], second["reason"], second["backend"]) == (502, "send.reset", origin.address)


async def test_a_client_that_leaves_is_logged(tmp_path: Path) -> None:
    path = tmp_path / "log"
    arrived = asyncio.Event()

    async def mark(_: object) -> None:
        arrived.set()
        await asyncio.Event().wait()

    async with Origin([request(), mark]) as origin:
        yaml = f"upstreams: {{app: {{backends: ['{origin.address}']}}}}\nroutes: [{{upstream: app}}]\n"
        async with running(with_log(yaml, path)) as proxy:
            async with connect(proxy.address) as client:
                await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                await arrived.wait()
                client.reset()
            await until(lambda: proxy.proxy.counters.in_flight == 0)
    (entry,) = entries(path)
    assert (entry["status"], entry["reason"]) == (499, "relay.client_gone")


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [("[]", "127.0.0.1"), ("[127.0.0.1]", "192.0.2.7"), ("[127.0.0.1, 192.0.2.0/24]", "198.51.100.1")],
)
async def test_the_client_behind_trusted_proxies(trusted: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "log"
    yaml = with_log(f"{REFUSED}trusted_proxies: {trusted}\n", path)
    async with running(yaml) as proxy, connect(proxy.address) as client:
        await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n\r\n")
    assert entries(path)[0]["client"] == expected


SECRET = b"PATCH /secret HTTP/1.1\r\nHost: victim.example\r\nReferer: http://r/\r\nUser-Agent: a\r\n\r\n"
SECRETS = {"PATCH", "victim.example", "/secret", "http://r/", "a"}


@pytest.mark.parametrize(
    "sent",
    [
        b"BAD\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: y\r\nX\x00: z\r\n\r\n",
        b"GET /x HTTP/1.1\r\n\r\n",
        b"GE",
        b"GET /" + b"b" * 10_000,
    ],
    ids=["no request", "bad header", "no host", "too late", "too long"],
)
async def test_what_is_refused_shows_nothing_of_another_client(sent: bytes, tmp_path: Path) -> None:
    """An exchange is used again for the next request; neither id nor any field of the one before may stay in it."""
    path = tmp_path / "log"
    yaml = with_log("routes: [{path: /secret, respond: {}}]\ntimeouts: {head: 200ms}\n", path)
    async with running(yaml) as proxy, connect(proxy.address) as good, connect(proxy.address) as bad:
        assert (await good.request(SECRET, b"PATCH")).status == 200
        refusal = await bad.request(sent)
    first, second = entries(path)
    told = json.loads(refusal.body)
    assert set(first.values()) >= SECRETS
    assert (second["reason"], second["request_id"]) == (told["reason"], told["request_id"])
    assert second["request_id"] != first["request_id"]
    assert re.fullmatch("[0-9a-f]{32}", str(second["request_id"]))
    assert not SECRETS & set(second.values())
    assert "route" not in second


async def test_a_refused_connection_shows_nothing_of_another_client(tmp_path: Path) -> None:
    path = tmp_path / "log"
    yaml = with_log("routes: [{path: /secret, respond: {}}]\nlimits: {connections: 1}\n", path)
    async with running(yaml) as proxy, connect(proxy.address) as good:
        assert (await good.request(SECRET, b"PATCH")).status == 200
        async with connect(proxy.address) as other:
            refusal = await other.response()
    first, second = entries(path)
    assert second["reason"] == "accept.too_many_connections"
    assert second["request_id"] == json.loads(refusal.body)["request_id"] != first["request_id"]
    assert not {"method", "host", "target", "protocol", "referer", "user_agent", "route"} & second.keys()


async def test_an_id_of_the_client_is_not_that_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n")
        await client.request(b"GET /fixed HTTP/1.1\r\nHost: x\r\n\r\n")
        await client.request(b"BAD\r\n\r\n")
    ids = [str(entry["request_id"]) for entry in entries(path)]
    assert ids[0] == "mine"
    assert len(set(ids)) == 3


@pytest.mark.parametrize("form", ["json", "combined"])
async def test_long_fields_are_cut(form: str, tmp_path: Path) -> None:
    """A head may hold 32 KiB; a line shows 2 KiB of each field."""
    path = tmp_path / "log"
    head = b"GET /fixed?%b HTTP/1.1\r\nHost: x\r\nReferer: %b\r\nUser-Agent: %b\r\nX-Request-ID: %b\r\n\r\n" % (
        b"t" * 5000,
        b"r" * 5000,
        b"u" * 9000,
        b"i" * 5000,
    )
    async with running(with_log(REFUSED, path, f", format: {form}")) as proxy, connect(proxy.address) as client:
        assert (await client.request(head)).status == 200
    if form == "json":
        (entry,) = entries(path)
        assert [len(str(entry[name])) for name in ("target", "referer", "user_agent")] == [2048] * 3
        assert len(str(entry["request_id"])) == 32  # made, since that of the client is too long
    else:
        match = COMBINED.fullmatch(path.read_text())
        assert match is not None
        assert (match["referer"], match["agent"]) == ("r" * 2048, "u" * 2048)
        assert len(match["line"]) == len("GET  HTTP/1.1") + 2048


async def test_hostile_bytes_from_the_wire(tmp_path: Path) -> None:
    """What the codec lets through is all that can reach a line."""
    path = tmp_path / "log"
    agents = [bytes([byte]) * 3 for byte in range(0x21, 0x100) if byte != 0x7F]
    async with running(with_log(REFUSED, path)) as proxy, connect(proxy.address) as client:
        for agent in agents:
            await client.request(b"GET /fixed?%s HTTP/1.1\r\nHost: x\r\nUser-Agent: %s\r\n\r\n" % (b"'`{}|^", agent))
    logged = entries(path)
    assert [str(entry["user_agent"]).encode("latin-1") for entry in logged] == agents
    assert {entry["target"] for entry in logged} == {"/fixed?'`{}|^"}


# --- fields that are named ------------------------------------------------------------------------------

ALL = "fields: [backends, queue_time, upstream_connect_time, upstream_header_time]"
FIELDS = ("backends", "queue_time", "upstream_connect_time", "upstream_header_time")
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def logged(path: Path) -> list[dict[str, Any]]:
    """Of each line the fields that have to be named."""
    return [{name: entry[name] for name in FIELDS if name in entry} for entry in entries(path)]


def upstream(*addresses: str, more: str = "") -> str:
    return f"upstreams: {{app: {{backends: {list(addresses)}, {more}}}}}\nroutes: [{{upstream: app}}]\n"


def refusing() -> tuple[socket.socket, str]:
    """A port at which nobody listens as long as the socket is open."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    return taken, "{}:{}".format(*taken.getsockname())


async def test_only_what_is_named_is_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with Origin([request(), response(b"ok")], forever=True) as origin:
        for more, names in (("", []), (", fields: [backends]", ["backends"]), (f", {ALL}", list(FIELDS))):
            path.unlink(missing_ok=True)
            async with running(with_log(upstream(origin.address), path, more)) as proxy:
                async with connect(proxy.address) as client:
                    await client.request(GET)
            assert [list(entry) for entry in logged(path)] == [names]


async def test_a_connection_that_is_kept_took_no_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    async with Origin([request(), response(b"ok"), request(), response(b"ok")]) as origin:
        async with running(with_log(upstream(origin.address), path, f", {ALL}")) as proxy:
            async with connect(proxy.address) as client:
                await client.request(GET)
                await client.request(GET)
            group = proxy.proxy.registry.groups["app"]
            stages = (
                group.stats.pick_seconds,
                group.stats.connect_seconds,
                group.stats.send_seconds,
                group.stats.relay_seconds,
            )
            assert [sum(stage.cells) for stage in stages] == [0, 1, 2, 2], "of those that had to wait; of all"
    first, second = logged(path)
    assert 0 < first["upstream_connect_time"] < first["upstream_header_time"] <= entries(path)[0]["seconds"]
    assert second["upstream_connect_time"] == 0.0 < second["upstream_header_time"]
    assert (first["queue_time"], first["backends"]) == (0.0, [origin.address])


async def test_every_backend_that_was_asked_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    taken, nobody = refusing()
    with taken:
        async with Origin([request(), reset], forever=True) as broken, Origin([request(), response(b"ok")]) as good:
            yaml = upstream(nobody, broken.address, good.address, more="balance: first, retry: {attempts: 2}")
            async with running(with_log(yaml, path, f", {ALL}")) as proxy, connect(proxy.address) as client:
                assert (await client.request(GET)).status == 200
    (entry,) = logged(path)
    assert entry["backends"] == [nobody, broken.address, good.address]
    assert entries(path)[0]["backend"] == good.address


async def test_what_never_was_has_no_time(tmp_path: Path) -> None:
    path = tmp_path / "log"
    taken, nobody = refusing()
    with taken:
        yaml = upstream(nobody).replace("routes: [", "routes: [{path: /fixed, respond: {}}, ")
        async with running(with_log(yaml, path, f", {ALL}")) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).status == 502
            assert (await client.request(GET.replace(b"/ ", b"/fixed ", 1))).status == 200
    failed, fixed = logged(path)
    assert failed == {"backends": [nobody], "queue_time": 0.0}
    assert fixed == {}


async def test_the_time_in_the_queue(tmp_path: Path) -> None:
    """Of one that is served in the end, one that waits too long, and one that finds it full."""
    path = tmp_path / "log"
    go, begun = asyncio.Event(), asyncio.Event()
    script: Script = [request(), tell(begun), wait(go), response(b"ok"), request(), response(b"ok")]
    more = "limits: {requests: 1, queue: 1, queue_timeout: 20s}"
    async with Origin(script) as origin:
        async with running(with_log(upstream(origin.address, more=more), path, f", {ALL}")) as proxy:
            async with connect(proxy.address) as one, connect(proxy.address) as two, connect(proxy.address) as three:
                await one.send(GET)
                await begun.wait()
                await two.send(GET)
                group = proxy.proxy.registry.groups["app"]
                await until(lambda: group.queue.length == 1)
                assert (await three.request(GET)).status == 503
                go.set()
                assert [(await client.response()).status for client in (one, two)] == [200, 200]
            assert sum(group.stats.pick_seconds.cells) == 1, "of those that waited"
    full, _, waited = logged(path)
    assert full == {}
    assert 0 < waited["queue_time"] <= entries(path)[2]["seconds"]


async def test_the_time_in_the_queue_of_those_that_give_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    go, begun = asyncio.Event(), asyncio.Event()
    more = "limits: {requests: 1, queue: 9, queue_timeout: 50ms}"
    async with Origin([request(), tell(begun), wait(go), response(b"ok")]) as origin:
        async with running(with_log(upstream(origin.address, more=more), path, f", {ALL}")) as proxy:
            async with connect(proxy.address) as one, connect(proxy.address) as two, connect(proxy.address) as three:
                await one.send(GET)
                await begun.wait()
                group = proxy.proxy.registry.groups["app"]
                await three.send(GET)
                await until(lambda: group.queue.length == 1)
                three.reset()
                await until(lambda: group.queue.length == 0)
                assert (await two.request(GET)).status == 503
                go.set()
                assert (await one.response()).status == 200
            assert sum(group.stats.pick_seconds.cells) == 2
    gone, late, _ = logged(path)
    assert (list(gone), list(late)) == (["queue_time"], ["queue_time"])
    assert late["queue_time"] > 0
    assert entries(path)[1]["reason"] == "pick.queue_timeout"


async def test_of_a_hedged_request_both_backends_are_named(tmp_path: Path) -> None:
    path = tmp_path / "log"
    more = "balance: first, retry: {hedge: {delay: 20ms}}"
    async with Origin([request(), never]) as slow, Origin([request(), response(b"ok")]) as quick:
        yaml = with_log(upstream(slow.address, quick.address, more=more), path, f", {ALL}")
        async with running(yaml) as proxy, connect(proxy.address) as client:
            assert (await client.request(GET)).body == b"ok"
    (entry,) = logged(path)
    assert entry["backends"] == [slow.address, quick.address]
    assert 0 < entry["upstream_connect_time"] < entry["upstream_header_time"]


def test_the_combined_format_has_no_place_for_them() -> None:
    with pytest.raises(ConfigError, match="write format: json"):
        load_text(with_log(REFUSED, Path("/log"), ", format: combined, fields: [backends]"))
