"""Settings of the whole suite: the loop, the form of the package under test, hypothesis profiles.

Invariant: the package under test is the one beside this folder, in the form that QANTARA_FORM names
("compiled" or "interpreted", set by the Makefile; unset: whatever is built).
"""

from __future__ import annotations

import asyncio
import functools
import importlib.machinery
import inspect
import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import uvloop

import proxy

from .support.servers import AppServers

ROOT = Path(__file__).resolve().parents[1]
CYTHON = sorted((ROOT / "proxy").glob("**/*.pyx"))

# In CI the same examples every time: a new one is found by `make fuzz`, not by somebody else's change. The interpreted
# form, several times slower, gets fewer: it is the same source.
EXAMPLES = 30 if os.environ.get("QANTARA_FORM") == "interpreted" else 100
hypothesis.settings.register_profile(
    "default", deadline=None, max_examples=EXAMPLES, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=100_000, print_blob=True)
hypothesis.settings.load_profile("default")


def built(source: Path) -> bool:
    """True if a compiled module lies beside the source, where it wins on import."""
    return any(source.with_suffix(end).exists() for end in importlib.machinery.EXTENSION_SUFFIXES)


def pytest_configure() -> None:
    if Path(proxy.__file__ or "").parent != ROOT / "proxy":
        raise pytest.UsageError(f"another package named proxy is in the way: {proxy.__file__}")
    missing = [str(path) for path in must_be_built() if not built(path)]
    if missing:
        raise pytest.UsageError(f"not compiled: {' '.join(missing)}; run make build")
    if os.environ.get("QANTARA_FORM") == "interpreted" and any(map(built, augmented())):
        raise pytest.UsageError("the interpreted form has compiled modules in it")


@pytest.fixture(scope="session", autouse=True)
def run_dir() -> Iterator[None]:
    """Control sockets in a folder of this session's own, with a path that is short enough for them."""
    with tempfile.TemporaryDirectory(prefix="q-", dir="/tmp") as folder:
        os.environ["QANTARA_RUN_DIR"] = folder
        yield


def augmented() -> list[Path]:
    """The Python files that the build compiles: those with a .pxd beside them."""
    sources = (path.with_suffix(".py") for path in ROOT.glob("proxy/**/*.pxd"))
    return sorted(path for path in sources if path.exists())


def must_be_built() -> list[Path]:
    return [*CYTHON, *augmented()] if os.environ.get("QANTARA_FORM") == "compiled" else CYTHON


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test first: begun last, it would keep one process busy while the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("packaging") is None)
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            item.obj = limited(item.obj, IN_LOOP * seconds_for(item))


IN_LOOP = 0.9
"""The share of a test's time after which its task is cancelled. The alarm of pytest-timeout, which ends what does not
await, comes to nothing while a loop waits: uvloop takes an exception of a signal handler for one of a callback."""


def seconds_for(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0] if marker else item.config.getoption("timeout") or item.config.getini("timeout"))


def limited(test: Callable[..., Awaitable[None]], seconds: float) -> Callable[..., Awaitable[None]]:
    """The test, which fails where it waits when its time is over, and cleans up."""

    @functools.wraps(test)
    async def within(*arguments: Any, **named: Any) -> None:
        async with asyncio.timeout(seconds):
            await test(*arguments, **named)

    return within


def pytest_report_header() -> str:
    files = augmented()
    count = sum(map(built, files))
    form = "interpreted" if count == 0 else "compiled" if count == len(files) else "partly compiled"
    return f"proxy: {form} ({count} of {len(files)} modules with a .pxd)"


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the proxy runs on in service."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def app_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppServers]:
    """Real app servers, each started when a test first asks for it and ended with the session."""
    with AppServers(tmp_path_factory.mktemp("app")) as servers:
        yield servers
