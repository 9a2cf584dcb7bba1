"""The numbers of sending again."""

from __future__ import annotations

import pytest

from proxy.upstream.retry import RetrySpec, backoff, retry_after


@pytest.mark.parametrize(("retry", "most"), [(1, 0.025), (2, 0.075), (3, 0.175), (4, 0.25), (1000, 0.25)])
def test_the_pause_is_anything_up_to_twice_as_much_each_time(retry: int, most: float) -> None:
    pauses = [backoff(RetrySpec(), retry) for _ in range(2000)]
    assert 0 <= min(pauses) < most * 0.05
    assert most * 0.95 < max(pauses) <= most


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b" 120 ", 120),
        (b"Thu, 01 Jan 1970 00:16:50 GMT", 10),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (b"-5", 0),
        (b"soon", 0),
        (b"1.5", 0),
        (b"\xff", 0),
        (b"", 0),
        (b"9" * 400, 999999999),
    ],
)
def test_retry_after(value: bytes, seconds: float) -> None:
    assert retry_after(value, 1000.0) == seconds
