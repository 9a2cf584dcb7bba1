"""Polling of load endpoints: once per machine, off the data path; what backends say is written on the scoreboard.

Law of this file: a poll never takes longer than its time-out, and none waits for another backend's. What is wrong with
an answer changes nothing: the last good report stands until it is too old for the workers (upstream/load/sources.py).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from random import random, uniform
from time import monotonic, monotonic_ns

import aiohttp

from ..scoreboard import Scoreboard
from ..upstream.backend import BackendSpec
from ..upstream.load.orca import SIZE_MAX, parse_binary, parse_body, parse_header
from ..upstream.load.report import LoadReport
from ..upstream.load.sources import PollSpec, erase, write
from ..upstream.spec import GroupSpec
from .http_sessions import BackendSessions, url_of

log = logging.getLogger("qantara")

AT_ONCE = 256
"""Polls that run at the same time."""
JITTER = 0.2
"""The share by which each interval may be shorter or longer, so that polls do not fall into step."""


class Target:
    """One backend that is polled."""

    def __init__(self, upstream: str, backend: BackendSpec, spec: PollSpec) -> None:
        self.upstream = upstream
        self.backend = backend
        self.spec = spec
        self.wrong = ""
        """What was wrong with the last poll, in words; empty if nothing was."""
        self.task: asyncio.Task[None] | None = None


class Poller:
    """All polls of one proxy."""

    def __init__(self, board: Scoreboard) -> None:
        self.board = board
        self.targets: dict[tuple[str, str], Target] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sessions = BackendSessions({"User-Agent": "qantara-load-poll", "Accept": "application/json, text/plain"})

    async def adopt(self, specs: Mapping[str, GroupSpec]) -> None:
        """Poll the backends of these upstreams from now on, and no others. Who is polled already, and in the same way,
        goes on being polled."""
        wanted = {
            (name, backend.address): (backend, spec.reports.poll)
            for name, spec in specs.items()
            for backend in spec.backends
            if spec.reports is not None and spec.reports.poll is not None
        }
        leaving = [key for key, target in self.targets.items() if wanted.get(key) != (target.backend, target.spec)]
        tasks = [target.task for key in leaving if (target := self.targets.pop(key)).task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for upstream, address in leaving:
            if (upstream, address) not in wanted:
                erase(self.board.backend_rows(upstream, address))
        for (name, address), (backend, poll) in wanted.items():
            if (name, address) not in self.targets:
                target = self.targets[name, address] = Target(name, backend, poll)
                target.task = asyncio.get_running_loop().create_task(self._watch(target))

    async def close(self) -> None:
        """Stop polling."""
        tasks = [target.task for target in self.targets.values() if target.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sessions.close()

    async def _watch(self, target: Target) -> None:
        interval = target.spec.interval
        await asyncio.sleep(random() * interval)  # not all in the same moment
        while True:
            began = monotonic()
            self._say(target, await self._polled(target))
            pause = interval * uniform(1 - JITTER, 1 + JITTER)
            await asyncio.sleep(max(0.0, pause - (monotonic() - began)))

    async def _polled(self, target: Target) -> str:
        """What is wrong, in words; "" if nothing is."""
        async with self._slots:
            try:
                async with asyncio.timeout(target.spec.timeout):
                    return await self._ask(target)
            except TimeoutError:
                return f"timed out after {target.spec.timeout:g} s"
            except (OSError, aiohttp.ClientError) as error:
                return str(error) or type(error).__name__
            except Exception as error:  # a defect of ours must not end the polling
                log.exception("a defect of the proxy, while polling %s", target.backend.address)
                return repr(error)

    async def _ask(self, target: Target) -> str:
        spec = target.spec
        session = self._sessions.of(target.backend.path)
        async with session.request(
            spec.method, url_of(target.backend, spec.port, spec.path), headers=dict(spec.headers), allow_redirects=False
        ) as response:
            if response.status != 200:
                return f"status {response.status}, expected 200"
            report = await _report(response)
            if report is None:
                return "the answer is no load report"
            write(self.board.backend_rows(target.upstream, target.backend.address), report, monotonic_ns())
            return ""

    def _say(self, target: Target, wrong: str) -> None:
        """Log when it begins and when it ends, not each time."""
        if bool(wrong) != bool(target.wrong):
            told = f"cannot be polled for its load: {wrong}" if wrong else "can be polled for its load again"
            log.warning("upstream %s: backend %s %s", target.upstream, target.backend.address, told)
        target.wrong = wrong


async def _report(response: aiohttp.ClientResponse) -> LoadReport | None:
    """From the headers, if it is there, else from the body."""
    if (value := response.headers.get("endpoint-load-metrics-bin")) is not None:
        return parse_binary(value.encode("latin-1", "replace"))
    if (value := response.headers.get("endpoint-load-metrics")) is not None:
        return parse_header(value.encode("latin-1", "replace"))
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > SIZE_MAX:
            return None
    return parse_body(body)
