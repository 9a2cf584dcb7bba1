"""Faults on the way back, each between a real client and a real origin."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from random import Random
from time import monotonic

import pytest

from proxy.features.chaos import Delay
from proxy.features.chaos.response_faults import garbled
from proxy.http1.codec import ResponseHead
from proxy.http1.rendering import changed
from proxy.scoreboard import C_BROKEN_OFF
from tests.features.chaos.injected import Injected, injected, rule
from tests.support.client import connect
from tests.support.origin import Origin, close, end_of_input, request, response
from tests.support.path import GET, GET_1_0, backend_of, made, post, until_counted, until_true

SHORT, LONG = Delay(0.02), Delay(30.0)
BODY = bytes(range(256)) * 40
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello world"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 11\r\n\r\n"
BODIES = {
    "length": ([request(), response(b"hello world")], b"hello world"),
    "pieces": ([request(), b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", b"hello", b" world"], b"hello world"),
    "large": ([request(), response(BODY * 100)], BODY * 100),
    "chunked": ([request(), CHUNKED], b"hello world"),
    "until close": ([request(), UNTIL_CLOSE, close], b"hello world"),
    "empty": ([request(), response(b"")], b""),
    "204": ([request(), NO_CONTENT], b""),
    "304": ([request(), NOT_MODIFIED], b""),
}
FLOWS = {
    "delay": rule("relay", "delay", delay=SHORT),
    "bandwidth": rule("relay", "bandwidth", rate=50_000_000),
    "truncate": rule("relay", "truncate", size=1 << 40),
    "late end": rule("finish", "slow_close", delay=SHORT),
    "late store": rule("store", "delay", delay=SHORT),
    "garbled": rule("relay", "corrupt_header", header=b"x-none"),
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("kind", BODIES)
async def test_a_response_arrives_as_it_was_sent(flow: str, kind: str) -> None:
    script, body = BODIES[kind]
    async with injected(FLOWS[flow]._replace(until=monotonic() + 60), origin=script) as way:
        for _ in range(2):
            assert (await way.client.request(GET)).body == body
        assert way.injector.tallies()[FLOWS[flow].id].struck == 2


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("kind", ["length", "chunked", "until close"])
async def test_an_old_client_gets_it_too(flow: str, kind: str) -> None:
    """HTTP/1.0 knows no chunks: they are decoded, and the end of the body is the end of the connection."""
    script, body = BODIES[kind]
    async with injected(FLOWS[flow]._replace(until=monotonic() + 60), origin=script) as way:
        await way.client.send(GET_1_0)
        assert (await way.client.read_to_end()).partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize("flow", FLOWS)
async def test_pipelined_requests_keep_their_order(flow: str) -> None:
    script = [request(), response(b"1"), request(), CHUNKED, request(), response(b"3")]
    async with injected(FLOWS[flow]._replace(until=monotonic() + 60), origin=script) as way:
        await way.client.send(GET * 3)
        assert [(await way.client.response()).body for _ in range(3)] == [b"1", b"hello world", b"3"]


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_head_has_no_body(flow: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"
    async with injected(FLOWS[flow]._replace(until=monotonic() + 60), origin=[request(), head]) as way:
        got = await way.client.request(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"HEAD")
        assert (got.status, got.body, got.header(b"content-length")) == (200, b"", b"11")


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_backend_that_breaks_off_is_noticed(flow: str) -> None:
    """What was held when it happened is not mistaken for the whole."""
    script = [request(), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", close]
    async with injected(FLOWS[flow]._replace(until=monotonic() + 60), origin=script) as way:
        await way.client.send(GET)
        await until_counted(way.proxy, "relay.incomplete")
        with suppress(ConnectionError):
            assert len((await way.client.read_to_end()).partition(b"\r\n\r\n")[2]) <= 5


@pytest.mark.parametrize("flow", FLOWS)
async def test_a_response_that_leads_to_another_try_is_handed_on_to_nobody(flow: str) -> None:
    hit = FLOWS[flow]._replace(until=monotonic() + 60)
    upstream = "retry: {on: [503]}, outlier: null"
    async with (
        Origin([request(), response(b"busy", b"503 Busy")], forever=True) as busy,
        injected(hit, upstream=upstream, others=(busy.address,)) as way,
    ):
        for _ in range(4):
            assert (await way.client.request(GET)).body == b"ok"
        assert busy.requests


async def test_an_upgrade_passes_by() -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with injected(*FLOWS.values(), origin=[request(), switched, b"ping", end_of_input]) as way:
        await way.client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await way.client.response(upgrade=b"websocket")).status == 101
        assert await way.client.read_exactly(4) == b"ping"
        way.client.half_close()


# --- leaving -------------------------------------------------------------------------------------------

HOLDING = {
    "delay": rule("relay", "delay", delay=LONG),
    "bandwidth": rule("relay", "bandwidth", rate=1),
    "late end": rule("finish", "slow_close", delay=LONG),
    "black hole": rule("relay", "black_hole"),
    "endless": rule("finish", "black_hole"),
}


def held(way: Injected) -> bool:
    return len(way.injector.held) == 1


@pytest.mark.parametrize("name", HOLDING)
@pytest.mark.parametrize("kind", ["length", "large", "chunked"])
async def test_a_client_that_leaves_takes_nothing_of_the_next_one(name: str, kind: str) -> None:
    """The connection that answered serves another request by then, which must not be cut off with the first."""
    script, body = BODIES[kind]
    hit = HOLDING[name]._replace(until=monotonic() + 60, methods=frozenset([b"GET"]))
    async with injected(hit, origin=script) as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        async with connect(way.address) as other:
            await other.send(post(b"x"))
            way.client.reset()
            await until_counted(way.proxy, "relay.client_gone")
            assert (await other.response(b"POST")).body == body


@pytest.mark.parametrize("name", HOLDING)
async def test_stopping_lets_go(name: str) -> None:
    async with injected(HOLDING[name]._replace(until=monotonic() + 60), origin=BODIES["length"][0]) as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        way.injector.stop()
        got = await way.client.response()
        assert got.body == b"hello world" if name != "black hole" else made(got) == (504, "relay.chaos")


@pytest.mark.parametrize("name", HOLDING)
async def test_the_rule_ends_by_itself(name: str) -> None:
    async with injected(HOLDING[name]._replace(until=monotonic() + 0.5), origin=BODIES["chunked"][0]) as way:
        got = await way.client.request(GET)
        assert got.body == b"hello world" if name != "black hole" else made(got) == (504, "relay.chaos")


@pytest.mark.parametrize("name", ["delay", "bandwidth"])
async def test_what_is_held_back_is_bounded(name: str) -> None:
    hit = HOLDING[name]._replace(until=monotonic() + 60)
    async with injected(hit, origin=[request(), response(BODY * 2000)]) as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        flow = next(iter(way.injector.held))
        for _ in range(3):
            async with connect(way.address) as other:  # turns of the loop, with traffic
                await other.send(b"GET")
        assert flow.size < 1_000_000
        way.injector.stop()
        assert len((await way.client.response()).body) == len(BODY) * 2000


async def test_a_slow_client_bounds_a_paced_response_too() -> None:
    hit = rule("relay", "bandwidth", rate=200_000_000)
    async with injected(hit, origin=[request(), response(BODY * 600)], receive_buffer=4096) as way:
        await way.client.send(GET)
        await until_true(
            lambda: way.proxy.acceptor is not None and any(c.write_paused for c in way.proxy.acceptor.open)
        )
        flow = next(iter(way.injector.held))
        assert flow.size < 1_000_000
        assert len((await way.client.response()).body) == len(BODY) * 600


# --- single faults -------------------------------------------------------------------------------------


async def test_bandwidth_takes_its_time() -> None:
    async with injected(rule("relay", "bandwidth", rate=100_000), origin=[request(), response(b"x" * 20_000)]) as way:
        began = monotonic()
        assert len((await way.client.request(GET)).body) == 20_000
        assert monotonic() - began >= 0.19


@pytest.mark.parametrize("size", [0, 1, 10])
@pytest.mark.parametrize("kind", ["length", "pieces", "chunked", "until close"])
async def test_a_truncated_body_is_seen_to_be_incomplete(kind: str, size: int) -> None:
    async with injected(rule("relay", "truncate", size=size), origin=BODIES[kind][0]) as way:
        await way.client.send(GET)
        data = b""
        with suppress(ConnectionError):
            data = await way.client.read_to_end()
        assert b"hello world" not in data
        assert not data.endswith(b"0\r\n\r\n")
        if kind != "until close":  # there the proxy puts chunk lines around it
            assert len(data.partition(b"\r\n\r\n")[2]) == size
        assert way.proxy.counters.reasons["relay.chaos"] == 1
        assert way.proxy.counters.cells[C_BROKEN_OFF] == 1, "an error, though its status is 200"
        assert backend_of(way.proxy).failures == 1


async def test_a_body_that_is_short_enough_is_not_truncated() -> None:
    async with injected(rule("relay", "truncate", size=11), origin=BODIES["pieces"][0]) as way:
        assert (await way.client.request(GET)).body == b"hello world"


async def test_an_abort_replaces_the_response_and_counts_against_the_backend() -> None:
    hit = rule("relay", "abort", status=503)
    async with injected(hit, upstream="outlier: {consecutive_5xx: 2}") as way:
        for _ in range(2):
            assert made(await way.client.request(GET)) == (503, "relay.chaos")
        assert backend_of(way.proxy).rows[backend_of(way.proxy).own + 3] == 2, "server errors"
        assert way.proxy.counters.reasons == {"relay.chaos": 2}


async def test_an_abort_of_a_long_response_closes_its_connection() -> None:
    hit = rule("relay", "abort", status=500)
    async with injected(hit, origin=BODIES["large"][0], upstream="outlier: null") as way:
        assert (await way.client.request(GET)).status == 500
        assert (await way.client.request(GET)).status == 500


async def test_a_lost_response_comes_too_late() -> None:
    async with injected(rule("relay", "black_hole"), route="timeouts: {response_head: 50ms}") as way:
        assert made(await way.client.request(post(b"x"), b"POST")) == (504, "relay.chaos")


@pytest.mark.parametrize("stage", ["relay", "store", "finish"])
@pytest.mark.parametrize("kind", ["length", "large", "chunked", "until close"])
async def test_a_reset_resets_the_client(stage: str, kind: str) -> None:
    async with injected(rule(stage, "reset"), origin=BODIES[kind][0]) as way:
        await way.client.send(GET)
        with pytest.raises(ConnectionResetError):
            while await way.client.read():
                pass
        await until_counted(way.proxy, f"{stage}.chaos")


async def test_a_late_end_keeps_back_one_byte() -> None:
    async with injected(rule("finish", "slow_close", delay=LONG), origin=BODIES["length"][0]) as way:
        await way.client.send(GET)
        await way.client.read_until(b"hello worl")
        await until_true(lambda: held(way))
        way.injector.stop()
        assert await way.client.read_exactly(1) == b"d"


async def test_an_endless_response_ends_with_the_time_of_the_request() -> None:
    hit = rule("finish", "black_hole")
    async with injected(hit, origin=BODIES["length"][0], route="timeouts: {request: 150ms}") as way:
        await way.client.send(GET)
        assert not (await way.client.read_to_end()).endswith(b"d")
        await until_counted(way.proxy, "relay.request_timeout")


async def test_a_garbled_header_keeps_its_length_and_the_others_their_value() -> None:
    script = [request(), response(b"ok", headers=[b"X-Version: 1.2.3", b"X-Other: same"])]
    async with injected(rule("relay", "corrupt_header", header=b"x-version"), origin=script) as way:
        got = await way.client.request(GET)
        value = got.header(b"x-version")
        assert value is not None
        assert value != b"1.2.3"
        assert len(value) == 5
        assert (got.header(b"x-other"), got.body) == (b"same", b"ok")


def test_garbling_touches_values_of_that_name_alone() -> None:
    head = b"HTTP/1.1 200 OK\r\nA: 1\r\nab: 1\r\nB: a: 1\r\na:22\r\n\r\n"
    found = ResponseHead()
    found.parse(head, 0)
    made = changed(found, found.end, b"a", partial(garbled, Random(1)))
    got = made.data
    assert len(got) == len(head)
    lines, before = got.split(b"\r\n"), head.split(b"\r\n")
    assert [index for index in range(len(lines)) if lines[index] != before[index]] == [1, 4]
