"""A new configuration, checked through before anything that runs hears of it.

Law of this file: nothing here changes what is served. A configuration that cannot be loaded or compiled comes back as
problems, all of them at once.
"""

from __future__ import annotations

from typing import NamedTuple

from ..errors import ConfigError, Problem
from ..plan import Plan
from .compile import compile_plan
from .load import load
from .schema import Config


class Checked(NamedTuple):
    """A configuration that can be served."""

    config: Config
    plan: Plan
    """Compiled for nobody: to see that it can be, and what it listens on."""
    warnings: tuple[Problem, ...]


class ReloadResult(NamedTuple):
    """How a reload ended. `at` is the time of day (seconds since 1970)."""

    at: float
    ok: bool
    seconds: float
    problems: tuple[str, ...] = ()
    """Why it was refused. What ran before then goes on as it was."""
    warnings: tuple[str, ...] = ()


def check(path: str) -> Checked:
    """Load and compile the file `path`. Takes long for a large one: not for the event loop. Raises ConfigError."""
    loaded = load(path)
    return Checked(loaded.config, compile_plan(loaded.config, loaded.report), loaded.warnings)


def problems_of(error: Exception) -> tuple[str, ...]:
    """What to tell people about a refused configuration."""
    if isinstance(error, ConfigError):
        return tuple(map(str, error.problems))
    return (str(error),)
