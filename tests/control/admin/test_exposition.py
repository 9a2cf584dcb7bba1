"""What Prometheus reads: sums over the workers, and what is so now."""

from __future__ import annotations

import re
from pathlib import Path
from time import monotonic_ns
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from proxy.control.admin.exposition import bucketed
from proxy.metrics import U_BALANCER_FAILED, U_BALANCER_SLOW, U_FINISH, U_OPEN_UNTIL, U_RETRIES, Counters, Histogram
from proxy.scoreboard import EJECTED_FOR, EJECTED_UNTIL, REQUESTS, ROW, STATE, UPSTREAM_ROW
from tests.control.admin.fake import Client, admin

ROOT = Path(__file__).resolve().parents[3]
LATER = 10**12
"""Nanoseconds that no test takes."""


async def metrics(call: Client) -> dict[Any, float]:
    """The value of each, by name and labels."""
    status, text = await call("GET", "/metrics")
    assert status == 200
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_are_sums_over_the_workers() -> None:
    async with admin() as call:
        board = call.fake.board
        for slot in (1, 2):
            counters = Counters(board.slot_head(slot))
            counters.opened()
            counters.began()
            counters.finished(200, 0.1, 10, 20)
            counters.reason("route.no_route")
            start = slot * UPSTREAM_ROW
            rows = board.upstream_rows("app")
            rows[start + U_RETRIES] = 3
            Histogram(rows[start + U_FINISH : start + U_FINISH + 144]).observe(0.004)
            board.backend_rows("app", "b:1")[slot * ROW + REQUESTS] = 5
        board.backend_rows("app", "a:1")[STATE] = 2
        found = await metrics(call)
        assert found["qantara_connections_total",] == 2
        assert found["qantara_requests_total", ("code", "2xx")] == 2
        assert found["qantara_reasons_total", ("reason", "route.no_route"), ("stage", "route")] == 2
        assert found["qantara_upstream_retries_total", ("upstream", "app")] == 6
        assert found["qantara_backend_requests_total", ("backend", "b:1"), ("upstream", "app")] == 10
        assert found["qantara_backend_up", ("backend", "a:1"), ("upstream", "app")] == 0
        assert found["qantara_worker_up", ("worker", "1")] == 1
        assert found["qantara_worker_up", ("worker", "2")] == 0
        assert found["qantara_worker_restarts_total", ("worker", "1")] == 2
        assert found["qantara_config_last_reload_success",] == 1
        stage = (("stage", "finish"), ("upstream", "app"))
        assert found["qantara_upstream_seconds_count", *stage] == 2
        assert found["qantara_upstream_seconds_bucket", ("le", "0.005"), *stage] == 2
        assert found["qantara_upstream_seconds_bucket", ("le", "0.0025"), *stage] == 0


def test_buckets_are_cumulative_and_bounded() -> None:
    histogram = Histogram()
    for seconds in (0.0001, 0.0007, 0.2, 500.0):
        histogram.observe(seconds)
    buckets, seconds = bucketed(list(histogram.cells))
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1] == ("+Inf", 4.0)
    assert 500 < seconds < 630


async def test_the_page_has_every_name_and_no_other() -> None:
    async with admin() as call:
        _, text = await call("GET", "/metrics")
    shown = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(text)
    }
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(qantara_\w+)`", page)) == {name for name in shown if name.startswith("qantara_")}


async def test_what_is_left_out_of_service_now() -> None:
    async with admin() as call:
        board = call.fake.board
        app, other = ("upstream", "app"), ("upstream", "other")
        board.upstream_rows("app")[2 * UPSTREAM_ROW + U_OPEN_UNTIL] = monotonic_ns() + LATER
        board.upstream_rows("other")[UPSTREAM_ROW + U_OPEN_UNTIL] = monotonic_ns() - 1
        for slot, address, until in ((1, "a:1", LATER), (2, "a:1", LATER), (2, "b:1", LATER), (1, "unix:/run/c", -1)):
            rows = board.backend_rows("app", address)
            rows[slot * ROW + EJECTED_UNTIL], rows[slot * ROW + EJECTED_FOR] = monotonic_ns() + until, 1
        found = await metrics(call)
        assert (found["qantara_upstream_breaker_open", app], found["qantara_upstream_breaker_open", other]) == (1, 0)
        assert found["qantara_upstream_ejections_active", app] == 2, "each backend once, whoever has ejected it"
        assert found["qantara_upstream_ejections_active", other] == 0


async def test_what_goes_wrong_without_a_request_failing_for_it() -> None:
    async with admin() as call:
        board = call.fake.board
        for slot in (1, 2):
            board.upstream_rows("app")[slot * UPSTREAM_ROW + U_BALANCER_FAILED] = slot
            board.upstream_rows("app")[slot * UPSTREAM_ROW + U_BALANCER_SLOW] = slot - 1
            Counters(board.slot_head(slot)).lines_dropped(10 * slot)
            Counters(board.slot_head(slot)).broke_off("relay.incomplete")
        found = await metrics(call)
        assert found["qantara_upstream_balancer_failed_total", ("upstream", "app")] == 3
        assert found["qantara_upstream_balancer_slow_total", ("upstream", "app")] == 1
        assert found["qantara_access_log_lines_dropped_total",] == 30
        assert found["qantara_responses_broken_off_total",] == 2
        assert found["qantara_reasons_total", ("reason", "relay.incomplete"), ("stage", "relay")] == 2
