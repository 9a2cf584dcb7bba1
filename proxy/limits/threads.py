"""Calls that may block for good, in a thread beside the event loop: a file on a network that is gone, a pipe without a
writer.

Law of this file: the caller goes on after `within` seconds, and the process can end, whatever the thread does.
(The threads of asyncio.to_thread are waited for when the loop ends.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

READ_WITHIN = 10.0
"""Seconds that a small file may take to be read."""


async def run_in_thread(within: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `function`, called in a thread of its own. Raises what it raises, and TimeoutError after `within`
    seconds; what it does then is lost."""
    return await asyncio.wait_for(asyncio.wrap_future(start_thread(function, *args, **kwargs)), within)


def start_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
    """The future result of `function`, which runs in a thread of its own from now on."""
    result: Future[T] = Future()
    result.set_running_or_notify_cancel()  # a caller that goes on does not take the result away from the thread

    def work() -> None:
        try:
            result.set_result(function(*args, **kwargs))
        except BaseException as error:  # raised again in the caller
            result.set_exception(error)

    threading.Thread(target=work, name=getattr(function, "__name__", None), daemon=True).start()
    return result
