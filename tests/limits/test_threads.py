"""What may block for good holds up neither the caller nor the end of the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from proxy.limits.threads import run_in_thread


async def test_the_result_comes_back() -> None:
    assert await run_in_thread(5, divmod, 7, 2) == (3, 1)


async def test_so_does_what_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(5, divmod, 7, 0)


async def test_the_caller_waits_no_longer_than_that() -> None:
    go_on = threading.Event()
    with pytest.raises(TimeoutError):
        await run_in_thread(0.05, go_on.wait)
    go_on.set()


async def test_a_caller_that_has_gone_is_not_told() -> None:
    go_on = threading.Event()
    waiting = asyncio.ensure_future(run_in_thread(5, go_on.wait))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()


def test_the_process_ends_whatever_the_thread_does() -> None:
    program = """
import asyncio, threading
from proxy.limits.threads import run_in_thread
async def main():
    try:
        await run_in_thread(0.05, threading.Event().wait)
    except TimeoutError:
        print("ended")
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert ended.stdout == "ended\n"
