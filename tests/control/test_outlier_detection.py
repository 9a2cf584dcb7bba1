"""Ejection by shares of failures, over all workers."""

from __future__ import annotations

from time import monotonic_ns

from proxy.control.outlier_detection import OutlierDetection, Share, outliers
from proxy.scoreboard import EJECTED_UNTIL, FAILURES, REQUESTS, ROW, SERVER_ERRORS, Scoreboard, create
from proxy.upstream.backend import BackendSpec
from proxy.upstream.outlier import FAILURE_PERCENTAGE, SUCCESS_RATE, OutlierSpec
from proxy.upstream.spec import GroupSpec

SPEC = OutlierSpec()
BACKENDS = tuple(BackendSpec(f"b{n}:1", f"b{n}", 1, "") for n in range(6))
GROUP = {"app": GroupSpec("app", BACKENDS, None)}


def shares(*failures: int, requests: int = 200) -> list[Share]:
    return [Share(f"b{n}:1", requests, failed) for n, failed in enumerate(failures)]


def test_by_the_share_of_failures() -> None:
    assert outliers(SPEC, shares(190, 180, 0, 0, 0)) == [("b0:1", FAILURE_PERCENTAGE), ("b1:1", FAILURE_PERCENTAGE)]
    assert outliers(SPEC, shares(160, 160, 160, 160, 160)) == []
    assert outliers(SPEC, shares(190, 0, 0, 0)) == []  # too few backends
    assert outliers(SPEC, shares(45, 0, 0, 0, 0, requests=49)) == []  # too few requests


def test_by_doing_much_worse_than_the_others() -> None:
    assert outliers(SPEC, shares(60, 0, 0, 0, 0)) == [("b0:1", SUCCESS_RATE)]
    assert outliers(SPEC, shares(3, 2, 3, 2, 3)) == []
    assert outliers(SPEC._replace(success_rate_factor=0.0), shares(60, 0, 0, 0, 0)) == []


def count(board: Scoreboard, slot: int, backend: int, requests: int, errors: int, failures: int = 0) -> None:
    rows = board.backend_rows("app", BACKENDS[backend].address)
    rows[slot * ROW + REQUESTS] += requests
    rows[slot * ROW + SERVER_ERRORS] += errors
    rows[slot * ROW + FAILURES] += failures


def ejected(board: Scoreboard) -> list[int]:
    now = monotonic_ns()
    return [n for n, spec in enumerate(BACKENDS) if board.backend_rows("app", spec.address)[EJECTED_UNTIL] > now]


def test_the_workers_are_added_up_and_only_the_interval_counts() -> None:
    board = create(3)
    detection = OutlierDetection(board)
    count(board, 1, 0, 10_000, 10_000)  # before the first look
    detection.sweep(GROUP, 0.0)
    for backend in range(5):
        for slot in (1, 2):
            count(board, slot, backend, 100, 0)
    detection.sweep(GROUP, 10.0)
    assert ejected(board) == []
    epoch = board.epoch()
    for backend in range(5):
        count(board, 1, backend, 40, 20 if backend == 3 else 0, 20 if backend == 3 else 0)
        count(board, 2, backend, 40, 40 if backend == 3 else 0)
    detection.sweep(GROUP, 15.0)
    assert ejected(board) == []  # the interval is not over
    detection.sweep(GROUP, 20.0)
    assert ejected(board) == [3]
    assert board.epoch() != epoch


def test_no_more_go_than_may() -> None:
    board = create(2)
    detection = OutlierDetection(board)
    detection.sweep(GROUP, 0.0)
    for backend in range(6):
        count(board, 1, backend, 100, 100 if backend < 5 else 0)
    detection.sweep(GROUP, 10.0)
    assert len(ejected(board)) == 3  # half of six
