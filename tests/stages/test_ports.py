"""Pipeline, relay, retry and hedge between two fakes: no socket, no event loop, not a byte of HTTP/1.1.

Law of this file: every response is counted once for the backend that gave it, whichever way it came.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

import pytest

from proxy.configuration.load import load_text
from proxy.errors import CLIENT_GONE, CONNECT_REFUSED, RESPONSE_INCOMPLETE, SEND_RESET
from proxy.exchange import ClientStream, Exchange
from proxy.features.chaos import OFF, Delay, Injector, Rule
from proxy.http.peer import Peer
from proxy.metrics import Counters
from proxy.plan import Plan
from proxy.scoreboard import FAILURES, GATEWAY_ERRORS, IN_FLIGHT, RESPONSES, SERVER_ERRORS
from proxy.stages import retry
from proxy.stages.finish import abort
from proxy.stages.route import start
from proxy.upstream.backend import Backend
from tests.support.path import until_true
from tests.support.plans import linked
from tests.support.ports import FakeClient, FakeRequester, FakeStream, head

LISTEN = "listeners: [{bind: '127.0.0.1:0'}]\n"
TWO = "backends: ['127.0.0.1:1', '127.0.0.1:2']"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further try begins at once: there is no loop to wait in."""
    monkeypatch.setattr(retry, "backoff", lambda spec, tried: 0.0)


def serving(
    upstream: str = TWO, route: str = "upstream: app", more: str = "", injector: Injector = OFF
) -> tuple[Plan, list[FakeStream]]:
    """A plan, and an idle connection to each of its backends in the order in which they are picked."""
    text = f"{LISTEN}upstreams: {{app: {{{upstream}}}}}\nroutes: [{{{route}}}]\n{more}"
    plan = linked(load_text(text).config, injector=injector)
    plan.settle_groups()
    return plan, [FakeStream(backend) for backend in plan.groups["app"].members.all]


def cells(backend: Backend, *which: int) -> list[int]:
    return [int(backend.rows[backend.own + cell]) for cell in which]


def used(streams: list[FakeStream]) -> FakeStream:
    """The connection that a request waits on."""
    (found,) = [stream for stream in streams if stream.requester is not None]
    return found


# --- relay ------------------------------------------------------------------------------------------------------------


def test_a_response_in_one_piece() -> None:
    plan, streams = serving()
    client = FakeClient()
    client.ask(plan)
    stream = used(streams)
    assert stream.sent == [(b"GET", b"/")]
    stream.respond(200, b"hello")
    assert client.events == [(200, b"hello", True), "finished"]
    assert cells(stream.backend, RESPONSES, IN_FLIGHT) == [1, 0]


def test_a_response_in_parts_with_trailers() -> None:
    plan, streams = serving()
    client = FakeClient()
    client.ask(plan)
    stream = used(streams)
    requester: Any = stream.requester
    stream.respond(200, b"a", False)
    requester.data(memoryview(b"b"))
    requester.end(((b"digest", b"x"),))
    assert client.events == [(200, b"a", False), b"b", ("end", ((b"digest", b"x"),)), "finished"]


def test_what_breaks_off_is_cut_off_here_too() -> None:
    plan, streams = serving()
    client = FakeClient()
    client.ask(plan)
    requester: Any = used(streams).requester
    used(streams).respond(200, b"a", False)
    requester.failed(RESPONSE_INCOMPLETE, False)
    assert client.events == [(200, b"a", False), "abort", "finished"]


def test_interim_responses_are_passed_on_and_bind_the_request_to_its_backend() -> None:
    plan, streams = serving()
    client = FakeClient()
    x = client.ask(plan)
    requester: Any = used(streams).requester
    requester.interim(head(103))
    assert x.interim_sent
    requester.failed(SEND_RESET, False)
    assert client.events == [("interim", 103), (502, "send.reset"), "finished"]


def test_the_backend_paces_the_client() -> None:
    plan, streams = serving()
    client = FakeClient()
    x = client.ask(plan, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
    requester: Any = used(streams).requester
    requester.pause()
    x.request_data(b"abc")
    requester.resume()
    assert client.events == ["pause", "resume"]
    assert used(streams).sent[1:] == [b"abc"]


def test_a_client_that_leaves_closes_the_connection_to_the_backend() -> None:
    plan, streams = serving()
    client = FakeClient()
    x = client.ask(plan)
    stream = used(streams)

    abort(x, CLIENT_GONE)
    assert stream.discarded
    assert client.events == ["finished"]
    assert cells(stream.backend, IN_FLIGHT) == [0]


def test_what_a_stage_adds_to_a_response_that_is_tried_elsewhere_is_gone() -> None:
    plan, streams = serving(TWO + ", retry: {on: [503]}", "upstream: app, response_headers: {set: {x: y}}")
    client = FakeClient()
    x = client.ask(plan)
    first = used(streams)
    assert x.response_edits is not None
    x.response_edits = x.response_edits.plus(((b"Z", b"1"),))
    first.respond(503)
    assert used(streams) is not first
    assert x.response_edits is not None
    assert x.response_edits.fields == ((b"x", b"y"),)


# --- without a client -------------------------------------------------------------------------------------------------


def test_an_exchange_without_a_client_runs_to_its_end() -> None:
    plan, streams = serving()
    nobody = ClientStream(Peer(), Counters())
    x = Exchange()
    assert x.head.parse(b"GET /fill HTTP/1.1\r\nHost: a\r\n\r\n", 0)
    x.begin(nobody, plan, plan.registry.sweep.now)
    x.request_done = True

    start(x)
    stream = used(streams)
    stream.respond(200, b"body", False)
    requester: Any = x.attempt
    requester.end(())
    assert (x.status, x.bytes_out, x.group) == (200, 4, None)
    assert cells(stream.backend, RESPONSES, IN_FLIGHT) == [1, 0]


async def test_a_rule_of_limited_bandwidth_is_for_it_too() -> None:
    """A client that takes no more is a matter of the port, not of a socket."""
    injector = Injector([Rule("slow", "relay", "bandwidth", monotonic() + 60.0, rate=1 << 20)])
    plan, streams = serving(injector=injector)
    client = FakeClient()
    client.ask(plan)
    used(streams).respond(200, b"body")
    await until_true(lambda: client.events[-1] == "finished")
    assert client.events == [(200, b"", False), b"body", ("end", ()), "finished"]


# --- retry ------------------------------------------------------------------------------------------------------------


def test_a_lost_connection_goes_to_the_other_backend() -> None:
    plan, streams = serving(TWO + ", retry: {}")
    client = FakeClient()
    x = client.ask(plan)
    first = used(streams)
    requester: Any = first.requester
    first.discard()
    requester.failed(SEND_RESET, False)
    second = used(streams)
    assert second is not first
    second.respond(200)
    assert client.events == [(200, b"", True), "finished"]
    assert x.attempted == [first.backend.name]
    assert cells(first.backend, FAILURES, RESPONSES, IN_FLIGHT) == [1, 0, 0]
    assert cells(second.backend, FAILURES, RESPONSES, IN_FLIGHT) == [0, 1, 0]


def test_a_status_that_is_tried_again_is_counted_as_a_response() -> None:
    plan, streams = serving(TWO + ", retry: {on: [503]}")
    client = FakeClient()
    client.ask(plan)
    first = used(streams)
    first.respond(503)
    used(streams).respond(200)
    assert client.events == [(200, b"", True), "finished"]
    assert cells(first.backend, RESPONSES, SERVER_ERRORS, GATEWAY_ERRORS) == [1, 1, 1]


def test_no_second_try_for_what_may_have_had_an_effect() -> None:
    plan, streams = serving()
    client = FakeClient()
    client.ask(plan, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    requester: Any = used(streams).requester
    requester.failed(SEND_RESET, False)
    assert client.events == [(502, "send.reset"), "finished"]


# --- hedge ------------------------------------------------------------------------------------------------------------


HEDGED = TWO + ", retry: {on: [503], hedge: {delay: 50ms}}"


def hedged(
    upstream: str = HEDGED, more: str = "", injector: Injector = OFF
) -> tuple[FakeClient, Exchange, FakeStream, FakeStream]:
    """A request that waits at both backends, and the connections of its first and second attempt."""
    plan, streams = serving(upstream, more=more, injector=injector)
    client = FakeClient()
    group = plan.groups["app"]
    hedger, group.hedger = group.hedger, None  # the delay is over when the test says so
    x = client.ask(plan)
    group.hedger = hedger
    first = used(streams)
    stage: Any = plan.routes.find(x.head).send
    stage.hedge(x)
    (second,) = [stream for stream in streams if stream is not first]
    return client, x, first, second


@pytest.mark.parametrize("wins", [0, 1], ids=["first", "second"])
def test_the_first_answer_counts_and_the_other_attempt_is_closed(wins: int) -> None:
    client, x, *pair = hedged()
    pair[wins].respond(200, b"x")
    assert client.events == [(200, b"x", True), "finished"]
    assert pair[1 - wins].discarded
    assert x.hedge is None
    for index, stream in enumerate(pair):
        assert cells(stream.backend, RESPONSES, FAILURES, IN_FLIGHT) == [int(index == wins), 0, 0]


@pytest.mark.parametrize("fails", [0, 1], ids=["first", "second"])
def test_an_error_of_one_attempt_is_counted_like_any_other_response(fails: int) -> None:
    client, _, *pair = hedged()
    pair[fails].respond(503)
    assert client.events == []
    pair[1 - fails].respond(200)
    assert client.events == [(200, b"", True), "finished"]
    assert cells(pair[fails].backend, RESPONSES, SERVER_ERRORS, GATEWAY_ERRORS, IN_FLIGHT) == [1, 1, 1, 0]
    assert cells(pair[1 - fails].backend, RESPONSES, SERVER_ERRORS, GATEWAY_ERRORS, IN_FLIGHT) == [1, 0, 0, 0]


@pytest.mark.parametrize("fails", [0, 1], ids=["first", "second"])
def test_the_other_attempt_goes_on_when_one_is_lost(fails: int) -> None:
    client, _, *pair = hedged()
    requester: Any = pair[fails].requester
    pair[fails].discard()
    requester.failed(SEND_RESET, False)
    assert client.events == []
    pair[1 - fails].respond(200)
    assert client.events == [(200, b"", True), "finished"]
    assert cells(pair[fails].backend, FAILURES, RESPONSES, IN_FLIGHT) == [1, 0, 0]


def test_a_client_that_leaves_ends_both_attempts() -> None:

    client, x, first, second = hedged()
    abort(x, CLIENT_GONE)
    assert first.discarded
    assert second.discarded
    assert client.events == ["finished"]
    assert [cells(stream.backend, IN_FLIGHT) for stream in (first, second)] == [[0], [0]]


# --- pool -------------------------------------------------------------------------------------------------------------


async def test_a_pool_gives_an_idle_connection_to_the_request_that_waits() -> None:
    plan, (stream, _) = serving(TWO + ", pool: {max: 1}")
    pool = stream.backend.pool
    assert pool.acquire(False, 0.0) is stream
    pool.size = 1
    requester = FakeRequester()
    wait = pool.wait(requester)
    wait.cancel()
    assert (list(pool.waiting), requester.events) == ([], [])
    assert plan.groups["app"].members.all[0] is stream.backend


async def test_a_request_that_waits_too_long_is_told_why() -> None:
    _, (stream, _) = serving(TWO + ", pool: {max: 1}")
    pool = stream.backend.pool
    pool.size = 1
    requester = FakeRequester()
    pool.wait(requester)
    pool.expire(float("inf"))
    assert requester.events == ["connect.pool_timeout"]


async def test_a_response_that_is_held_back_is_over_when_the_second_attempt_wins() -> None:
    """Otherwise its head would follow within the response of the other."""
    slow = Rule("slow", "relay", "delay", monotonic() + 60.0, delay=Delay(30.0), backends=frozenset(("127.0.0.1:1",)))
    injector = Injector([slow])
    in_order = HEDGED + ", balance: 'tests.balancing.algorithms:InOrder'"
    client, x, first, second = hedged(in_order, injector=injector)
    first.respond(200, b"held", False)
    (held,) = injector.held
    second.respond(200, b"a", False)
    assert first.discarded
    assert not injector.held
    held.release()
    requester: Any = x.attempt
    requester.data(b"b")
    requester.end(())
    assert client.events == [(200, b"a", False), b"b", ("end", ()), "finished"]


async def test_a_second_attempt_that_leads_and_cannot_connect_is_one_try() -> None:
    """In the trace, and in the log, whose time in the queue is that of the request."""
    more = "tracing: {endpoint: 'http://127.0.0.1:1/v1/traces'}\n"
    plan, (first, second) = serving(HEDGED + ", balance: 'tests.balancing.algorithms:InOrder'", more=more)
    second.backend.pool.idle.clear()
    client = FakeClient()
    x = client.ask(plan)
    x.attempt.queued_for = 0.25
    stage: Any = plan.routes.find(x.head).send
    stage.hedge(x)
    requester: Any = first.requester
    first.discard()
    requester.failed(SEND_RESET, False)
    assert x.attempt.queued_for == 0.25
    x.attempt.wait.cancel()
    trace = x.trace
    x.attempt.connect_failed(CONNECT_REFUSED)
    assert client.events == [(502, "connect.refused"), "finished"]
    assert [each.reason for each in trace.tries] == [SEND_RESET, CONNECT_REFUSED]
    await second.backend.pool.close()
