"""`qantara top`: rates are differences, and what is shown fits what was told."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from proxy.console.top_view import Look, page, run_top
from proxy.errors import ControlError
from proxy.metrics import Histogram


def numbers(at: float, requests: int, errors: int, **more: Any) -> dict[str, Any]:
    histogram = Histogram()
    for _ in range(requests):
        histogram.observe(0.01)
    backend = {
        "address": "10.0.0.1:80",
        "state": "ejected",
        "in_flight": 3,
        "requests": requests,
        "failures": 7,
        "retries": 1,
        "mean_seconds": 0.02,
    }
    upstream = {"name": "app", "backends": [backend], "queued": 4, "panic": False, "breaker_open_seconds": 2.4}
    worker = {"slot": 1, "state": "serving", "pid": 7, "cpu_seconds": at / 2, "memory": 50 * 2**20}
    return {
        "at": at,
        "requests": requests,
        "in_flight": 3,
        "connections": 5,
        "bytes_out": requests * 1_000_000,
        "statuses": {"5xx": errors},
        "seconds": list(histogram.cells),
        "reasons": {"admit.rate_limited": requests},
        "workers": [{**worker, "seconds": 60.0, "restarts": 2}],
        "upstreams": [upstream],
        **more,
    }


def shown(before: dict[str, Any], now: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=160)
    clients = [{"client": "192.0.2.1", "share": 0.75, "errors": 0.5}]
    console.print(page(Look(before, [], []), Look(now, clients, [])))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rates_are_differences() -> None:
    said = shown(numbers(10.0, 100, 0), numbers(12.0, 300, 20))
    assert "100 requests/s, 10.00% errors" in said
    assert "p50 10." in said
    assert "100.0 MB/s out" in said
    assert "admit.rate_limited 100.0/s" in said
    assert "50%" in said  # of a core
    assert "50 MiB" in said
    assert "192.0.2.1" in said
    assert "75.0%" in said
    assert "ejected" in said
    assert "4 queued, breaker open for 2 s" in said


def test_an_idle_proxy_divides_by_nothing() -> None:
    assert "0 requests/s, 0.00% errors" in shown(numbers(10.0, 100, 0), numbers(12.0, 100, 0))


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    def ask(_: str) -> tuple[int, Any]:
        raise ControlError("nobody serves this")

    assert run_top(ask, 1.0, True) == 1
    assert capsys.readouterr().err == "error: nobody serves this\n"
