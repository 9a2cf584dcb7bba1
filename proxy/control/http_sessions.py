"""HTTP requests of the supervisor to backends: health checks over HTTP, polls of load endpoints.

Law of this file: its connections have nothing to do with those of the data path. It is imported with the first request:
aiohttp is a fifth of the CPU that a supervisor takes to start.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import aiohttp

from ..upstream.backend import BackendSpec


def url_of(backend: BackendSpec, port: int, path: str) -> str:
    """The URL of a path of a backend; `port` is another one than its own, or 0."""
    host = "localhost" if backend.path else backend.host
    port = port or backend.port
    written = f"[{host}]" if ":" in host else host
    return f"http://{written}:{port}{path}" if port else f"http://{written}{path}"


class BackendSessions:
    """One session for all backends on TCP, and one for each Unix socket. `headers` go with each request."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self.headers = headers
        self._tcp: aiohttp.ClientSession | None = None
        self._unix: dict[str, aiohttp.ClientSession] = {}

    def of(self, path: str) -> aiohttp.ClientSession:
        """The session for a Unix socket, or with "" the one for TCP."""
        if path:
            if path not in self._unix:
                self._unix[path] = self._session(aiohttp.UnixConnector(path))
            return self._unix[path]
        if self._tcp is None:
            self._tcp = self._session(aiohttp.TCPConnector(limit=0, limit_per_host=1))
        return self._tcp

    @asynccontextmanager
    async def request(
        self, backend: BackendSpec, method: str, port: int, path: str, headers: Iterable[tuple[str, str]]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The response of a backend; redirects are not followed. Raises OSError if it fails."""
        url = url_of(backend, port, path)
        try:
            async with self.of(backend.path).request(
                method, url, headers=dict(headers), allow_redirects=False
            ) as response:
                yield response
        except aiohttp.ClientError as error:
            raise ConnectionError(str(error) or type(error).__name__) from error

    async def close(self) -> None:
        """Close all connections."""
        for session in [self._tcp, *self._unix.values()]:
            if session is not None:
                await session.close()

    def _session(self, connector: aiohttp.BaseConnector) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=connector, headers=self.headers, cookie_jar=aiohttp.DummyCookieJar())
