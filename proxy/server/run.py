"""`qantara run`: a worker in the foreground, from its configuration to its last request.

Law of this file: signals are turned into calls here and nowhere else. SIGTERM and SIGINT drain, a second one stops at
once; SIGUSR1 opens the access log anew. The exit code is 0 after a clean stop, 1 if it could not start or had to
cut requests off, 2 if the configuration is refused.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import sys

import uvloop

from ..control.compile import compile_plan
from ..control.load import load
from ..downstream.listener import written
from ..errors import BindError, ConfigError
from ..plan import Plan
from .worker import Proxy, settle_memory

log = logging.getLogger("qantara")


def run(path: str) -> int:
    """Serve the configuration in the file `path` until a signal comes. Returns the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        loaded = load(path)
        plan = compile_plan(loaded.config, loaded.report)
    except ConfigError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)
        return 2
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    raise_file_limit(plan.settings.connections)
    try:
        return uvloop.run(serve(plan))
    except BindError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:  # the access log
        print(f"error: cannot open {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


def raise_file_limit(connections: int) -> None:
    """Take all the file descriptors that this process may have: a connection through the proxy needs two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # not allowed here: the soft limit then is the limit
            hard = soft
    if hard != resource.RLIM_INFINITY and hard < 2 * connections:
        log.info(
            "this process may have %d open files, too few for limits.connections (%d) with a backend connection each; "
            "raise it with ulimit -n or LimitNOFILE=",
            hard,
            connections,
        )


async def serve(plan: Plan) -> int:
    """Serve a plan until SIGTERM or SIGINT, then drain."""
    proxy = Proxy(plan)
    stop = asyncio.Event()
    hurry = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            hurry.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    loop.add_signal_handler(
        signal.SIGHUP, log.warning, "SIGHUP: reloading is not part of this version; nothing changed"
    )
    async with proxy:
        if proxy.log is not None:
            loop.add_signal_handler(signal.SIGUSR1, proxy.log.reopen)
        for address in proxy.addresses:
            log.info("listening on %s", written(address))
        settle_memory()
        await stop.wait()
        log.info("draining, at most %g seconds; a second signal stops at once", plan.settings.drain)
        clean = await drain_or_hurry(proxy, hurry)
        counted = proxy.snapshot()
    log.info("stopped after %d requests on %d connections", counted.requests, counted.connections)
    return 0 if clean else 1


async def drain_or_hurry(proxy: Proxy, hurry: asyncio.Event) -> bool:
    """Drain until it is done or a second signal comes. True if no request was cut off."""
    draining = asyncio.ensure_future(proxy.drain())
    hurrying = asyncio.ensure_future(hurry.wait())
    await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
    clean = draining.done() and draining.result()
    for task in (draining, hurrying):
        task.cancel()
    await asyncio.gather(draining, hurrying, return_exceptions=True)
    return clean
