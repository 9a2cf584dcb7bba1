"""Guarded calls of a user's own algorithm outside a serving worker, where no spare takes its place
(balancing/wrappers/time_guard.py): a call may raise anything, and may never return.

Law of this file: the caller goes on after CALL_WITHIN, and what was wrong is a sentence for people that says which
algorithm it was, and in which call. Built-in ones are called as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from ..limits.threads import start_thread
from .base import Balancer
from .compose import BalanceSpec, compose, spare

P = ParamSpec("P")
T = TypeVar("T")

CALL_WITHIN = 10.0
"""Seconds that one call may take. Those that serve take milliseconds; this is for what does not end."""


def named_inside(params: Mapping[str, Any]) -> object:
    """What the parameters of an algorithm name as the one inside of it."""
    inner = params.get("inner")
    return inner.get("algorithm") if isinstance(inner, Mapping) else inner


def user_algorithms(balance: BalanceSpec) -> str:
    """The algorithms of a user's own that take part in an upstream, in words; "" if there are none."""
    named = (balance.algorithm, named_inside(balance.params), balance.fallback)
    return " or ".join(name for name in named if isinstance(name, str) and ":" in name)


def call_guarded(own: str, call: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The result of `function`, the method `call` of the algorithms `own` (see `user_algorithms`).

    Raises ValueError with a sentence for people: the algorithm's own one if it has raised a ValueError.
    """
    if not own:
        return function(*args, **kwargs)
    result = start_thread(function, *args, **kwargs)
    try:
        error = result.exception(CALL_WITHIN)
    except TimeoutError:
        raise ValueError(f"{call} of the algorithm {own} has not returned within {CALL_WITHIN:g} s") from None
    if error is not None and not isinstance(error, ValueError):
        raise ValueError(f"{call} of the algorithm {own} has raised {error!r:.200}") from error
    return result.result()


def make_balancers(balance: BalanceSpec) -> tuple[Balancer, Balancer]:
    """The algorithm of one picker, and its spare. Raises ValueError."""
    own = user_algorithms(balance)
    return call_guarded(own, "__init__", compose, balance), call_guarded(own, "__init__", spare, balance)
