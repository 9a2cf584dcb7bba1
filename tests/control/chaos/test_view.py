"""The proxy's own numbers, as they come from a board that workers write to."""

from __future__ import annotations

from time import monotonic_ns

from proxy import scoreboard
from proxy.control.chaos.view import sample, upstreams
from proxy.metrics import Counters, Histogram
from proxy.scoreboard import DOWN, DRAIN, EJECTED_UNTIL, HEALTH, ROW, STATE
from proxy.upstream.backend import BackendSpec
from proxy.upstream.spec import GroupSpec

BACKENDS = tuple(BackendSpec(f"10.0.0.{n}:80", f"10.0.0.{n}", 80, "") for n in range(4))
SPEC = GroupSpec("app", BACKENDS, None)


def test_a_sample_is_the_sum_over_all_workers() -> None:
    board = scoreboard.create(4)
    for slot, status in ((1, 200), (2, 503), (2, 404)):
        counters = Counters(board.slot_head(slot))
        counters.began()
        counters.finished(status, 0.01, 0, 0)
    found = sample(board)
    assert (found.requests, found.errors, sum(found.seconds)) == (3, 1, 3)
    histogram = Histogram()
    histogram.observe(0.01)
    assert found.seconds.index(3) == list(histogram.cells).index(1)


def test_what_clients_see_is_more_than_the_status() -> None:
    board = scoreboard.create(3)
    counters = Counters(board.slot_head(1))
    for count, reason in ((counters.broke_off, "relay.incomplete"), (counters.reason, "relay.client_gone")):
        counters.began()
        count(reason)
        counters.finished(200, 0.01, 0, 0)
    Counters(board.slot_head(2)).began()  # a worker that has not answered anything yet
    found = sample(board)
    assert (found.requests, found.errors, found.gone, found.in_flight) == (2, 1, 1, 1)


def test_who_is_healthy() -> None:
    board = scoreboard.create(3)
    rows = [board.backend_rows("app", backend.address) for backend in BACKENDS]
    rows[1][STATE] = DRAIN
    rows[2][HEALTH] = DOWN
    rows[3][2 * ROW + EJECTED_UNTIL] = monotonic_ns() + 10**12
    found = upstreams(board, [SPEC])["app"]
    assert [member.healthy for member in found.members] == [True, False, False, False]
    assert found.panicking
    rows[2][HEALTH] = 0
    assert not upstreams(board, [SPEC])["app"].panicking
