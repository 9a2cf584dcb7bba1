"""The peers: one row each. A peer is a program, the files here that configure it, and a command line.

In the files @PORT@, @ORIGIN@ (host:port), @ORIGIN_PORT@ and @DIR@ are filled in; in the command lines {port},
{origin}, {dir}, {here} (this folder) and {program} are. The access log is off in every one of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
VENV = HERE.parent / ".venv-peers"
SEARCH = os.pathsep.join((str(VENV / "bin"), os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
# Started by root, nginx drops root for its workers, which then cannot write beside the configuration.
NGINX_USER = ("-g", "user root;") if os.geteuid() == 0 else ()


@dataclass(frozen=True, slots=True)
class Peer:
    """One row. `unfit`: loads that the peer is known to get wrong, and why, which the report says."""

    name: str
    what: str
    program: str
    version: tuple[str, ...]
    argv: tuple[str, ...]
    files: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    unfit: Mapping[str, str] = field(default_factory=dict)

    def locate(self) -> str | None:
        return shutil.which(self.program, path=SEARCH)

    def installed(self) -> tuple[bool, str]:
        """Return whether the peer runs here, and its version or what is missing."""
        program = self.locate()
        if program is None:
            return False, f"{self.program} is not installed"
        command = [part.format(program=program) for part in self.version]
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        if done.returncode != 0:
            return False, said[-1] if said else f"status {done.returncode}"
        return True, first_number(said)

    def prepare(self, folder: Path, port: int, origin_port: int, **more: str) -> list[str]:
        """Write the configuration into a folder and return the command line."""
        origin = f"127.0.0.1:{origin_port}"
        for name in self.files:
            fill(name, folder, {"PORT": str(port), "ORIGIN": origin, "ORIGIN_PORT": str(origin_port), **more})
        values = {"program": self.locate(), "dir": folder, "here": HERE, "port": port, "origin": origin}
        return [part.format_map(values) for part in self.argv]


def fill(name: str, folder: Path, values: Mapping[str, str]) -> None:
    """Copy a file of this folder to another, with its @NAMES@ filled in."""
    text = (HERE / name).read_text()
    for key, value in {**values, "DIR": str(folder)}.items():
        text = text.replace(f"@{key}@", value)
    (folder / name).write_text(text)


def first_number(said: list[str]) -> str:
    """Pick the version out of what a program says of itself."""
    found = re.search(r"\d+(?:\.\d+)+", " ".join(said))
    return found[0] if found else "unknown"


def nginx(name: str, what: str, file: str) -> Peer:
    return Peer(
        name,
        what,
        program="nginx",
        version=("{program}", "-v"),
        argv=("{program}", "-p", "{dir}", "-e", "stderr", "-c", "{dir}/" + file, *NGINX_USER),
        files=(file,),
    )


def checkout(folder: Path) -> Peer:
    """Another checkout of this project, compiled: what has a change cost? It runs with the libraries of this one."""
    return Peer(
        "before",
        f"the checkout in {folder.name}",
        program=sys.executable,
        version=("{program}", "-m", "proxy", "--version"),
        argv=("{program}", "-m", "proxy", "run", "-c", "{dir}/qantara.yaml"),
        files=("qantara.yaml",),
        env={"PYTHONPATH": str(folder.resolve()), "PYTHONSAFEPATH": "1"},
    )


ORIGIN = nginx("origin", "the origin", "origin.conf")

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "qantara",
            "this project, features on",
            program=sys.executable,
            version=("{program}", "-m", "proxy", "--version"),
            argv=("{program}", "-m", "proxy", "run", "-c", "{dir}/qantara.yaml"),
            files=("qantara.yaml",),
        ),
        Peer(
            "qantara+all",
            "with health checks, rate limit, breaker, adaptive limit and load shedding",
            program=sys.executable,
            version=("{program}", "-m", "proxy", "--version"),
            argv=("{program}", "-m", "proxy", "run", "-c", "{dir}/qantara_all.yaml"),
            files=("qantara_all.yaml",),
        ),
        nginx("nginx", "keep-alive upstream, no forwarded headers", "nginx.conf"),
        nginx("nginx+headers", "the same, setting the headers that Qantara sets", "nginx_headers.conf"),
        Peer(
            "haproxy",
            "one thread, forwardfor, http-reuse always",
            program="haproxy",
            version=("{program}", "-v"),
            argv=("{program}", "-db", "-f", "{dir}/haproxy.cfg"),
            files=("haproxy.cfg",),
        ),
        Peer(
            "envoy",
            "--concurrency 1",
            program="envoy",
            version=("{program}", "--version"),
            argv=("{program}", "--concurrency", "1", "--disable-hot-restart", "--log-level", "error",
                  "-c", "{dir}/envoy.yaml"),
            files=("envoy.yaml",),
        ),
        Peer(
            "traefik",
            "GOMAXPROCS=1",
            program="traefik",
            version=("{program}", "version"),
            argv=("{program}", "--configFile={dir}/traefik.yaml"),
            files=("traefik.yaml", "traefik_routes.yaml"),
            env={"GOMAXPROCS": "1"},
        ),
        Peer(
            "caddy",
            "GOMAXPROCS=1",
            program="caddy",
            version=("{program}", "version"),
            argv=("{program}", "run", "--config", "{dir}/Caddyfile", "--adapter", "caddyfile"),
            files=("Caddyfile",),
            env={"GOMAXPROCS": "1"},
        ),
        Peer(
            "aiohttp",
            "a plain reverse proxy on aiohttp and uvloop",
            program=str(VENV / "bin" / "python"),
            version=("{program}", "-c", "import aiohttp, uvloop; print(aiohttp.__version__)"),
            argv=("{program}", "{here}/aiohttp_proxy.py", "{port}", "{origin}"),
        ),
        Peer(
            "pyproxy",
            "python-pyproxy, no access log",
            program="pyproxy",
            version=("{program}", "version"),
            argv=("{program}", "start", "{dir}/pyproxy.yaml"),
            files=("pyproxy.yaml",),
            unfit={
                "connect": "it announces keep-alive to a client that asked for close, and then closes"
            },
        ),
    )
}  # fmt: skip
