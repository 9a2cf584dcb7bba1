"""Faults on the way to the backend, each between a real client and a real origin."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import pytest

from proxy.configuration.load import load_text
from proxy.features.chaos import Delay, Injector
from proxy.features.chaos.rules import FORWARD, STAGES_OF
from proxy.routing import HeaderCondition
from proxy.server.proxy import Proxy
from tests.features.chaos.injected import ECHO, Injected, injected, rule
from tests.support.client import connect
from tests.support.origin import Origin, close, end_of_input, request, response
from tests.support.path import CHUNKED_POST, GET, backend_of, made, post, reason_of, until_counted, until_true
from tests.support.plans import linked

SHORT = Delay(0.02)
LONG = Delay(30.0)


def held(way: Injected) -> bool:
    return len(way.injector.held) == 1


# --- delay ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", FORWARD)
async def test_a_delayed_request_is_answered_later(stage: str) -> None:
    async with injected(rule(stage, "delay", delay=SHORT)) as way:
        began = monotonic()
        assert (await way.client.request(GET)).body == b"ok"
        assert monotonic() - began >= SHORT.seconds
        assert (await way.client.request(GET)).body == b"ok"  # now over an idle connection
        assert way.injector.tallies()[f"{stage} delay"] == (2, 2, 2)


@pytest.mark.parametrize("stage", FORWARD)
async def test_a_client_that_leaves_during_a_delay_leaves_nothing_behind(stage: str) -> None:
    async with injected(rule(stage, "delay", delay=LONG), more="timeouts: {connect: 40s}") as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        way.client.reset()
        await until_counted(way.proxy, "relay.client_gone")
        await until_true(way.nothing_left)


@pytest.mark.parametrize("stage", FORWARD)
@pytest.mark.parametrize("body", [b"x" * 10, b"x" * 300_000], ids=["small", "large"])
async def test_a_body_waits_with_its_request(stage: str, body: bytes) -> None:
    async with injected(rule(stage, "delay", delay=SHORT)) as way:
        assert (await way.client.request(post(body), b"POST")).body == b"ok"
        assert (await way.client.request(post(body), b"POST")).body == b"ok"
    assert [each.body for each in way.origin.requests] == [body, body]


@pytest.mark.parametrize("stage", FORWARD)
async def test_a_body_that_comes_during_a_delay_is_sent_behind_its_head(stage: str) -> None:
    async with injected(rule(stage, "delay", delay=Delay(0.05))) as way:
        for _ in range(2):
            await way.client.send(CHUNKED_POST)
            await until_true(lambda: held(way))
            await way.client.send(b"5\r\nhello\r\n0\r\n\r\n")
            assert (await way.client.response(b"POST")).body == b"ok"
    assert [each.body for each in way.origin.requests] == [b"hello", b"hello"]


@pytest.mark.parametrize("stage", FORWARD)
async def test_pipelined_requests_keep_their_order(stage: str) -> None:
    script = [request(), response(b"1"), request(), response(b"2"), request(), response(b"3")]
    async with injected(rule(stage, "delay", delay=Delay(0.005)), origin=script) as way:
        await way.client.send(GET * 3)
        assert [(await way.client.response()).body for _ in range(3)] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("stage", FORWARD)
async def test_a_delayed_upgrade_becomes_a_tunnel(stage: str) -> None:
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"

    async with injected(rule(stage, "delay", delay=SHORT), origin=[request(), switched, b"ping", end_of_input]) as way:
        await way.client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await way.client.response(upgrade=b"websocket")).status == 101
        assert await way.client.read_exactly(4) == b"ping"
        way.client.half_close()


async def test_a_delay_longer_than_the_backend_keeps_idle_connections_costs_no_request() -> None:
    """The connection that was taken for the request is lost while it waits: it gets another, and no second delay."""
    async with injected(
        rule("send", "delay", delay=Delay(0.1)),
        origin=[[request(), response(b"1"), close], [request(), response(b"2")]],
    ) as way:
        await way.client.send(GET + GET)
        assert [(await way.client.response()).body for _ in range(2)] == [b"1", b"2"]
        assert way.injector.tallies()["send delay"].struck == 2
        assert len(way.origin.peers) == 2


async def test_the_response_has_its_whole_time_after_a_delay() -> None:
    """Deadlines count from the sending, not from when the request came."""
    script = [request(), response(b"ok")]
    async with injected(
        rule("send", "delay", delay=Delay(0.8)), origin=script, route="timeouts: {response_head: 500ms}"
    ) as way:
        assert (await way.client.request(GET)).status == 200
        assert (await way.client.request(GET)).status == 200


# --- abort, reset, black hole --------------------------------------------------------------------------


@pytest.mark.parametrize("stage", FORWARD)
@pytest.mark.parametrize("status", [200, 204, 304, 418, 429, 500, 503, 599])
async def test_an_abort_answers_with_its_status_and_says_so(stage: str, status: int) -> None:
    async with injected(rule(stage, "abort", status=status), rule("relay", "delay", delay=LONG, share=0.0)) as way:
        assert made(await way.client.request(GET)) == (status, f"{stage}.chaos")
        assert way.proxy.counters.reasons == {f"{stage}.chaos": 1}
    assert way.origin.requests == []


async def test_an_abort_at_send_gives_the_connection_back() -> None:
    async with injected(rule("send", "abort", methods=frozenset([b"POST"]))) as way:
        assert (await way.client.request(GET)).status == 200
        assert (await way.client.request(post(b"x"), b"POST")).status == 503
        assert (await way.client.request(GET)).status == 200
        assert len(way.origin.peers) == 1


@pytest.mark.parametrize("stage", FORWARD)
async def test_a_reset_resets_the_client(stage: str) -> None:
    async with injected(rule(stage, "reset")) as way:
        await way.client.send(GET)
        with pytest.raises(ConnectionResetError):
            await way.client.read()
        await until_counted(way.proxy, f"{stage}.chaos")


@pytest.mark.parametrize("stage", FORWARD)
async def test_a_black_hole_answers_when_the_rule_ends(stage: str) -> None:
    async with injected(rule(stage, "black_hole", lives=0.5)) as way:
        assert made(await way.client.request(GET)) == (504, f"{stage}.chaos")
        async with connect(way.address) as another:
            assert (await another.request(GET)).status == 200, "the rule is over"


@pytest.mark.parametrize(
    ("stage", "limit", "reason"),
    [
        ("accept", "request: 100ms", "relay.request_timeout"),
        ("pick", "request: 100ms", "relay.request_timeout"),
        ("connect", "connect: 100ms", "connect.chaos"),
        ("send", "response_head: 100ms", "send.chaos"),
    ],
)
async def test_a_black_hole_ends_by_the_time_outs_of_the_request(stage: str, limit: str, reason: str) -> None:
    async with injected(rule(stage, "black_hole"), more=f"timeouts: {{{limit}}}") as way:
        assert made(await way.client.request(GET)) == (504, reason)


async def test_a_black_hole_at_send_takes_a_whole_body() -> None:
    async with injected(rule("send", "black_hole"), more="timeouts: {response_head: 100ms}") as way:
        await way.client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" + b"x" * 200_000)
        await until_true(lambda: way.proxy.counters.in_flight)
        await way.client.send(b"x" * 200_000)
        assert made(await way.client.response(b"POST")) == (504, "send.chaos")


async def test_a_client_that_leaves_a_black_hole_leaves_nothing_behind() -> None:
    async with injected(rule("send", "black_hole")) as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        way.client.reset()
        await until_true(way.nothing_left)


# --- what a backend does -------------------------------------------------------------------------------


class Pair:
    """A proxy before two origins, with rules about the first of them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack

    async def start(self, more: str = "", **about: Any) -> Pair:
        self.origins = [await self.stack.enter_async_context(Origin(ECHO, forever=True)) for _ in range(2)]
        self.injector = Injector([rule(backends=frozenset([self.origins[0].address]), **about)])
        backends = ", ".join(f"'{origin.address}'" for origin in self.origins)
        text = (
            "listeners: [{bind: '127.0.0.1:0'}]\naccess_log: null\n"
            f"upstreams: {{app: {{backends: [{backends}], {more}}}}}\nroutes: [{{upstream: app}}]\n"
        )
        plan = linked(load_text(text).config, injector=self.injector)
        self.proxy = await self.stack.enter_async_context(Proxy(plan))
        self.client = await self.stack.enter_async_context(connect(self.proxy.addresses[0]))
        return self

    async def get(self, times: int = 10) -> set[int]:
        return {(await self.client.request(GET)).status for _ in range(times)}


@pytest.mark.parametrize(
    ("stage", "fault", "more"),
    [
        ("connect", "connect_refused", ""),
        ("connect", "black_hole", "timeouts: {connect: 50ms}"),
        ("connect", "connect_delay", "timeouts: {connect: 50ms}"),
        ("send", "black_hole", "timeouts: {response_head: 50ms}"),
        ("relay", "black_hole", "timeouts: {response_head: 50ms}"),
    ],
)
async def test_a_backend_that_fails_by_a_rule_is_ejected_and_the_request_goes_to_the_other(
    stage: str, fault: str, more: str
) -> None:
    async with AsyncExitStack() as stack:
        outlier = "outlier: {consecutive_gateway: 1, consecutive_5xx: 1}"
        pair = await Pair(stack).start(", ".join(filter(None, (more, outlier))), stage=stage, fault=fault, delay=LONG)
        assert await pair.get() == {200}
        first = backend_of(pair.proxy)
        assert first.failures >= 1
        assert first.ejected_until() > 0
        assert len(pair.origins[1].requests) >= 10 - 1
        await until_true(lambda: not pair.injector.held)


async def test_a_connect_that_is_only_slow_succeeds() -> None:
    async with AsyncExitStack() as stack:
        pair = await Pair(stack).start(stage="connect", fault="connect_delay", delay=SHORT)
        assert await pair.get(4) == {200}
        assert backend_of(pair.proxy).failures == 0
        assert len(pair.origins[0].requests) == 2


async def test_backends_that_a_rule_does_not_name_are_left_alone() -> None:
    async with AsyncExitStack() as stack:
        pair = await Pair(stack).start("retry: {attempts: 0}, outlier: null", stage="connect", fault="connect_refused")
        statuses = [(await pair.client.request(GET)).status for _ in range(10)]
        assert sorted(statuses) == [200] * 5 + [502] * 5
        assert len(pair.origins[1].requests) == 5


async def test_a_refused_connect_names_its_reason_when_nobody_is_left() -> None:
    async with injected(rule("connect", "connect_refused")) as way:
        assert made(await way.client.request(GET)) == (502, "connect.chaos")


# --- which requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("match", "struck"),
    [
        ({"methods": frozenset([b"POST"])}, False),
        ({"methods": frozenset([b"GET", b"HEAD"])}, True),
        ({"prefix": b"/api"}, False),
        ({"prefix": b"/"}, True),
        ({"routes": frozenset(["all"])}, True),
        ({"routes": frozenset(["other"])}, False),
        ({"upstreams": frozenset(["app"])}, True),
        ({"upstreams": frozenset(["other"])}, False),
        ({"backends": frozenset(["192.0.2.1:1"])}, False),
        ({"headers": (HeaderCondition(b"host", equals=b"x"),)}, True),
        ({"headers": (HeaderCondition(b"x-chaos"),)}, False),
        ({"share": 0.0}, False),
    ],
    ids=[
        *("POST", "GET or HEAD", "/api", "/", "route", "other route", "upstream", "other upstream"),
        *("other backend", "header", "no header", "no share"),
    ],
)
async def test_only_what_matches_is_struck(match: dict[str, Any], struck: bool) -> None:
    async with injected(rule("send", "abort", status=418, **match)) as way:
        assert (await way.client.request(GET)).status == (418 if struck else 200)


async def test_a_fixed_response_can_be_struck_too() -> None:
    text = (
        "listeners: [{bind: '127.0.0.1:0'}]\naccess_log: null\n"
        "routes: [{exact: /fixed, respond: {status: 200}}, {path: /, redirect: {to: /x}}]\n"
    )
    injector = Injector([rule("route", "abort", status=500)])
    async with (
        Proxy(linked(load_text(text).config, injector=injector)) as proxy,
        connect(proxy.addresses[0]) as client,
    ):
        assert made(await client.request(GET)) == (500, "route.chaos")
        assert reason_of(await client.request(GET.replace(b"/ ", b"/fixed "))) == "route.chaos"


async def test_a_dry_run_counts_and_changes_nothing() -> None:
    rules = [
        rule(stage, fault, id=f"{stage} {fault}", dry_run=True) for fault in STAGES_OF for stage in STAGES_OF[fault]
    ]
    async with injected(*rules) as way:
        assert (await way.client.request(GET)).body == b"ok"
        assert set(way.injector.tallies().values()) == {(1, 1, 1)}


async def test_the_rule_ends_by_itself_and_lets_go_of_what_it_holds() -> None:
    """Nobody has to be alive to end it."""
    async with injected(rule("admit", "delay", delay=LONG, lives=0.1)) as way:
        assert (await way.client.request(GET)).status == 200
        assert way.injector.rules[0].left() <= 0


async def test_a_connection_lost_during_a_delay_that_cannot_be_replaced_is_a_failed_connect() -> None:
    """The request has had its delay and meets a backend that is gone: it is told so, and nothing stays held."""
    async with injected(rule("send", "delay", delay=Delay(0.1)), upstream="outlier: null") as way:
        assert (await way.client.request(GET)).status == 200
        await way.client.send(GET)
        await until_true(lambda: held(way))
        await way.origin.stop()
        assert made(await way.client.response()) == (502, "connect.refused")


# --- stop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", FORWARD)
async def test_stopping_lets_delayed_requests_go_on_at_once(stage: str) -> None:
    async with injected(rule(stage, "delay", delay=LONG), more="timeouts: {connect: 40s}") as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        way.injector.stop()
        assert (await way.client.response()).body == b"ok"


@pytest.mark.parametrize("stage", FORWARD)
async def test_stopping_answers_what_is_in_a_black_hole(stage: str) -> None:
    async with injected(rule(stage, "black_hole")) as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        way.injector.stop()
        assert made(await way.client.response()) == (504, f"{stage}.chaos")


async def test_a_stopped_proxy_answers_what_is_held_back() -> None:
    async with injected(rule("admit", "delay", delay=LONG)) as way:
        await way.client.send(GET)
        await until_true(lambda: held(way))
        await way.proxy.close()
        assert made(await way.client.response()) == (503, "admit.shutting_down")


async def test_many_at_once_all_come_back() -> None:
    async with injected(rule("send", "delay", delay=Delay(0.02, jitter=0.02), share=0.5)) as way:

        async def one() -> int:
            async with connect(way.address) as client:
                return (await client.request(GET)).status

        assert await asyncio.gather(*(one() for _ in range(50))) == [200] * 50
