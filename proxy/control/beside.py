"""Reading that may block for good, beside the loop: a file on a network that is gone, a pipe that nobody writes.

Law of this file: the caller goes on after `within` seconds, and the process can end, whatever the thread does.
(The threads of asyncio.to_thread are waited for when the loop ends.)
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def beside(within: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `function`, called in a thread of its own. Raises what it raises, and TimeoutError after `within`
    seconds; what it does then is lost."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[T] = loop.create_future()

    def settle(value: T | None, problem: BaseException | None) -> None:
        if result.done():
            return
        if problem is not None:
            result.set_exception(problem)
        else:
            result.set_result(value)  # type: ignore[arg-type]  # T, if there was no problem

    def work() -> None:
        value, problem = None, None
        try:
            value = function(*args, **kwargs)
        except BaseException as error:  # the caller is told
            problem = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, value, problem)

    threading.Thread(target=work, name=function.__name__, daemon=True).start()
    return await asyncio.wait_for(result, within)
