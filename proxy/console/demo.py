"""`qantara demo`: app servers on this machine, the proxy in front of them, and what to try with curl.

Without `--apps` the app servers are three aiohttp apps inside this process; with it they are uvicorn,
gunicorn and aiohttp, started as people start them, over TCP and Unix sockets. Where they listen is read
from the configuration (config/demo.yaml, config/app_servers.yaml). Invariant: all that was started here
is gone when `demo` has ended or raised.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import shlex
import signal
import socket
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import uvloop
from rich.console import Console
from rich.text import Text

from ..configuration.compile import compile_plan
from ..configuration.load import load_text
from ..errors import BindError, QantaraError
from ..pipeline import link_plan
from ..server.proxy import Proxy
from ..server.safe_path import python_module

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import web

    from ..configuration.schema import Config
    from ..configuration.values import Address

SOCKETS = "/run/qantara"
"""Folder of the Unix sockets in config/app_servers.yaml."""
INSTALLED = Path(__file__).resolve().parents[2]
"""The folder that the package lies in. App servers import from it; the default of theirs is the working folder."""
READY_WITHIN = 15.0
"""Seconds that an app server may take to start."""
STOP_WITHIN = 5.0
"""Seconds that it may take to end after SIGTERM."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def run_demo(apps: bool = False) -> int:
    """Run until SIGINT or SIGTERM; returns the exit status of the command."""
    try:
        uvloop.run(_until_signal(apps))
    except asyncio.CancelledError:
        return 0
    except ModuleNotFoundError as error:
        print(f"qantara demo needs {error.name}: pip install 'qantara[demo]'", file=sys.stderr)
        return 1
    except QantaraError as error:
        print(f"qantara demo: {error}", file=sys.stderr)
        return 1
    return 0


async def demo(apps: bool = False, config: Path | None = None) -> None:
    """Start everything, print what to try, and serve until cancelled.

    Raises ConfigError, BindError if an address is taken, and QantaraError if an app server does not start.
    """
    file = config or find_config("app_servers.yaml" if apps else "demo.yaml")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="qantara-"))
        # The example's sockets lie where a service manager makes them, which not everyone may write to.
        text = file.read_text(encoding="utf-8").replace(SOCKETS, folder)
        checked = load_text(text, str(file)).config
        start = _start_servers if apps else _start_apps
        servers = await start(stack, checked)
        proxy = await stack.enter_async_context(Proxy(link_plan(compile_plan(checked))))
        introduce(Console(), proxy.addresses[0], servers, checked)
        await asyncio.Event().wait()


def find_config(name: str) -> Path:
    """A file of config/: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent / "config", package / "config"):
        if (folder / name).is_file():
            return folder / name
    raise QantaraError(f"config/{name} is missing from this installation")


async def _until_signal(apps: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    await demo(apps)


# --- three apps in this process ----------------------------------------------------------------------


async def _start_apps(stack: AsyncExitStack, config: Config) -> dict[str, str]:
    """Name of each app and where it listens."""
    from aiohttp import web

    from .demo_apps import aiohttp_app

    addresses = [b.address for upstream in config.upstreams.values() for b in upstream.backends]
    servers = {}
    for name, address in zip("abcdefghijklmnopqrstuvwxyz", addresses, strict=False):
        claim(address)
        runner = web.AppRunner(aiohttp_app(name), handle_signals=False, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await _site(runner, address).start()
        servers[name] = f"{address} (aiohttp)"
    return servers


def _site(runner: web.AppRunner, address: Address) -> web.BaseSite:
    from aiohttp import web

    if address.kind == "unix":
        return web.UnixSite(runner, address.path)
    return web.TCPSite(runner, address.host, address.port)


# --- real app servers as child processes --------------------------------------------------------------


async def _start_servers(stack: AsyncExitStack, config: Config) -> dict[str, str]:
    for package in ("fastapi", "gunicorn", "uvicorn", "websockets"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    servers = {}
    for upstream_name, upstream in config.upstreams.items():
        for address in (backend.address for backend in upstream.backends):
            name = f"{upstream_name}-{address.kind}"
            await stack.enter_async_context(_child(name, command(upstream_name, address, name), address))
            servers[name] = str(address)
    return servers


def command(upstream: str, address: Address, name: str) -> list[str]:
    """Arguments of `python -m` for the app server that the upstream is named after; uvicorn for any other."""
    if upstream == "wsgi":
        options = ["--workers=1", "--threads=8", "--log-level=warning", f"--chdir={INSTALLED}"]
        return ["gunicorn", f"--bind={address}", *options, f"{__package__}.demo_apps:wsgi_app"]
    unix = address.kind == "unix"
    if upstream == "aiohttp":
        where = ["-U", address.path] if unix else ["-H", address.host, "-P", str(address.port)]
        return ["aiohttp.web", *where, f"{__package__}.demo_apps:aiohttp_main", name]
    where = ["--uds", address.path] if unix else ["--host", address.host, "--port", str(address.port)]
    options = ["--log-level=warning", f"--app-dir={INSTALLED}", "--factory"]
    return ["uvicorn", *where, *options, f"{__package__}.demo_apps:asgi_app"]


@asynccontextmanager
async def _child(name: str, arguments: list[str], address: Address) -> AsyncIterator[None]:
    from .demo_apps import NAME_VARIABLE

    claim(address)
    process = await asyncio.create_subprocess_exec(
        *python_module(*arguments),
        env=os.environ | {NAME_VARIABLE: name},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        # Ctrl-C reaches the whole group of the terminal: the proxy is to stop before its backends.
        start_new_session=True,
        preexec_fn=_end_with_parent,
    )
    try:
        await _ready(name, process, address)
        yield
    finally:
        await _end(process)


def _end_with_parent() -> None:
    """In the child, before exec: if this process is killed outright, its children end too (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def _ready(name: str, process: asyncio.subprocess.Process, address: Address) -> None:
    """Wait until the address accepts: polled every 50 ms."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + READY_WITHIN
    while not answers(address):
        if process.returncode is not None:
            raise QantaraError(f"the app server {name} ended at once with status {process.returncode}")
        if loop.time() > give_up:
            raise QantaraError(f"the app server {name} does not listen on {address}")
        await asyncio.sleep(0.05)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


# --- addresses ---------------------------------------------------------------------------------------


def answers(address: Address) -> bool:
    """True if something accepts connections there."""
    unix = address.kind == "unix"
    target = address.path if unix else (address.host, address.port)
    family = socket.AF_UNIX if unix else socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(target) == 0


def claim(address: Address) -> None:
    """Raise BindError if the address is taken."""
    if answers(address):
        raise BindError(f"{address} is in use: stop what listens there, then start the demo again")


# --- what to try -------------------------------------------------------------------------------------


def introduce(console: Console, address: tuple[str, int] | str, servers: dict[str, str], config: Config) -> None:
    """Print the picture: which servers, which address, which commands."""
    base = f"http://{_host(address)}"
    unix = f" --unix-socket {address}" if isinstance(address, str) else ""
    console.print(Text.assemble("\n", ("Qantara", "bold"), " listens on ", (base + unix, "bold"), " in front of"))
    for name, where in servers.items():
        console.print(Text(f"  {name:<14} {where}"), soft_wrap=True)
    tries = [(f"curl{unix} {options}{shlex.quote(base + path)}", what) for path, options, what in commands(config)]
    width = max(len(command) for command, _ in tries)
    console.print("\nTry")
    for command, what in tries:
        console.print(Text.assemble("  ", command.ljust(width), "   ", (what, "dim")), soft_wrap=True)
    console.print("\nCtrl-C stops everything.\n")


def _host(address: tuple[str, int] | str) -> str:
    if isinstance(address, str):
        return "localhost"
    host, port = address[0], address[1]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def commands(config: Config) -> list[tuple[str, str, str]]:
    """Path, curl options and meaning of what there is to try, from the routes that lead to an upstream."""
    prefixes = [route.path.rstrip("/") for route in config.routes if route.upstream and route.path]
    first = prefixes[0] if prefixes else ""
    tries = [(f"{prefix}/", "", "the request as the app server sees it") for prefix in prefixes]
    if len(prefixes) == 1:
        tries[0] = ("/", "", "repeat it: the servers take turns")
    return [
        *tries,
        (f"{first}/echo", "--data hello ", "a body goes there and back"),
        (f"{first}/stream", "-N ", "server-sent events, one a second"),
        (f"{first}/slow?seconds=2", "-i ", "an answer that takes its time"),
        (f"{first}/a/%2e%2e//b", "--path-as-is ", "a path has one canonical form"),
        ("/", "-i -H 'Transfer-Encoding: x' ", "refused, with the reason in Proxy-Status"),
    ]
