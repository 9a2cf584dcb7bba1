"""A new configuration, checked before it is sent to anything that runs.

Law of this file: nothing here changes what is served. A configuration that cannot be loaded or compiled comes back as
problems, all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ..configuration.compile import compile_plan
from ..configuration.load import load
from ..configuration.picking import try_own
from ..configuration.schema import Config
from ..configuration.sections.admin import SECRET_MIN, AdminSection
from ..errors import BindError, ConfigError, Problem
from ..limits.threads import run_in_thread
from ..plan import PlanSpec
from ..upstream.backend import BackendSpec

CHECK_WITHIN = 60.0
"""Seconds that a configuration may take to be read and compiled."""


class Checked(NamedTuple):
    """A configuration that can be served."""

    config: Config
    plan: PlanSpec
    """What workers link."""
    warnings: tuple[Problem, ...]
    digest: str = ""
    """Of the file as it was loaded."""


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
    return Checked(loaded.config, compile_plan(loaded.config, loaded.report), loaded.warnings, loaded.digest)


async def check_in_thread(path: str) -> Checked:
    """As `check`, in a thread, with a time-out. Raises ConfigError."""
    try:
        return await run_in_thread(CHECK_WITHIN, check, path)
    except TimeoutError:
        words = f"cannot be read and compiled within {CHECK_WITHIN:g} s"
        raise ConfigError([Problem(path, 0, 0, "", words)]) from None


async def try_members(plan: PlanSpec, members: Mapping[str, tuple[BackendSpec, ...]]) -> None:
    """Try the algorithms of a user's own out with the backends that discovery has found, beside the loop. Raises
    ConfigError."""
    found = plan.with_members(members).groups
    await run_in_thread(CHECK_WITHIN, try_own, [spec for spec in found.values() if spec is not plan.groups[spec.name]])


def problems_of(error: Exception) -> tuple[str, ...]:
    """The problems of a refused configuration, in words."""
    if isinstance(error, ConfigError):
        return tuple(map(str, error.problems))
    return (str(error),)


def read_token(admin: AdminSection) -> str | None:
    """The token of the admin API, from the configuration or its file. Raises BindError if there is none to read."""
    if admin.token_file is None:
        return admin.token
    try:
        token = Path(admin.token_file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BindError(f"admin.token_file: cannot read {admin.token_file}: {error}") from error
    if len(token) < SECRET_MIN:
        raise BindError(f"admin.token_file: the token in {admin.token_file} has fewer than {SECRET_MIN} characters")
    return token
